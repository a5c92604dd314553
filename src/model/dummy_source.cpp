#include <cmath>

#include "base/check.h"
#include "base/hash.h"
#include "model/weight_source.h"
#include "tensor/bf16.h"

namespace ernie::model {
namespace {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a random-looking word for each counter.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Mean 0, deviation 1: the sum of the four bytes of half a word. Element 2k takes the lower half of
// word k, element 2k + 1 the upper one.
float bell(uint32_t half) {
  const uint32_t pairs = (half & 0x00ff00ffu) + ((half >> 8) & 0x00ff00ffu);
  const int sum = static_cast<int>((pairs & 0xffffu) + (pairs >> 16));
  constexpr float kDeviation = 147.80054f;  // sqrt(4 * (256^2 - 1) / 12)
  return static_cast<float>(sum - 510) / kDeviation;
}

bool ends_with(const std::string& name, const char* suffix) { return name.ends_with(suffix); }

class DummySource : public WeightSource {
 public:
  DummySource(bool tied, uint64_t seed) : tied_(tied), seed_(seed) {}

  std::string describe() const override {
    return "random weights from seed " + std::to_string(seed_);
  }

  bool has(const TensorSpec& spec) const override {
    return !(tied_ && spec.name == "lm_head.weight");
  }

  HostMatrix map(const TensorSpec&, const Slice&) override { return {}; }

  void read(const TensorSpec& spec, const Slice& slice, DType dtype, void* out) override {
    CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "dummy weights are float32 or bfloat16");
    float mean = 0;
    float deviation = 1.0f / std::sqrt(static_cast<float>(spec.cols));
    if (spec.role == TensorRole::kVector || spec.role == TensorRole::kExpertBias) {
      deviation = 0.02f;
      mean = ends_with(spec.name, ".weight") ? 1.0f : 0.0f;  // the vectors called weight are norms
    }
    const uint64_t key = hash_bytes(spec.name.data(), spec.name.size(), seed_).low;
    for (int64_t r = 0; r < slice.rows; ++r) {
      const int64_t first = (slice.row + r) * spec.cols + slice.col;
      if (dtype == DType::kF32) {
        fill(key, first, slice.cols, mean, deviation, static_cast<float*>(out) + r * slice.cols,
             [](float v) { return v; });
      } else {
        fill(key, first, slice.cols, mean, deviation, static_cast<BF16*>(out) + r * slice.cols,
             [](float v) { return to_bf16(v); });
      }
    }
  }

  void release(const TensorSpec&) override {}
  void finish() override {}

 private:
  template <typename T, typename Convert>
  static void fill(uint64_t key, int64_t first, int64_t count, float mean, float deviation, T* out,
                   Convert convert) {
    const auto value = [&](uint64_t word, int64_t half) {
      return convert(mean + deviation * bell(static_cast<uint32_t>(word >> (32 * half))));
    };
    const auto word = [&](int64_t index) {
      return mix(key + static_cast<uint64_t>(index / 2) * 0x9e3779b97f4a7c15ull);
    };
    int64_t i = 0;
    if (first % 2 == 1 && count > 0) out[i++] = value(word(first), 1);
    for (; i + 1 < count; i += 2) {
      const uint64_t both = word(first + i);
      out[i] = value(both, 0);
      out[i + 1] = value(both, 1);
    }
    if (i < count) out[i] = value(word(first + i), 0);
  }

  bool tied_;
  uint64_t seed_;
};

}  // namespace

std::unique_ptr<WeightSource> make_dummy_source(const ModelConfig& config, uint64_t seed) {
  return std::make_unique<DummySource>(config.tie_word_embeddings, seed);
}

}  // namespace ernie::model
