#include <cmath>

#include "base/hash.h"
#include "model/weight_source.h"

namespace ernie::model {
namespace {

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

  std::optional<GeneratedMatrix> generated(const TensorSpec& spec, const Slice& slice) override {
    GeneratedMatrix values{.key = hash_bytes(spec.name.data(), spec.name.size(), seed_).low,
                           .first = slice.row * spec.cols + slice.col,
                           .row_stride = spec.cols,
                           .rows = slice.rows,
                           .cols = slice.cols,
                           .first_col = slice.col,
                           .all_cols = spec.cols,
                           .deviation = 1.0f / std::sqrt(static_cast<float>(spec.cols))};
    if (spec.role == TensorRole::kVector || spec.role == TensorRole::kExpertBias) {
      values.deviation = 0.02f;
      // Small beside the experts' scores, which are 1/experts on average: all are chosen alike.
      if (spec.role == TensorRole::kExpertBias) values.deviation /= static_cast<float>(spec.cols);
      values.mean = spec.name.ends_with(".weight") ? 1.0f : 0.0f;  // these vectors are norms
    }
    return values;
  }

  void read(const TensorSpec& spec, const Slice& slice, DType dtype, void* out) override {
    generate(*generated(spec, slice), dtype, out);
  }

  void release(const TensorSpec&) override {}
  void finish() override {}

 private:
  bool tied_;
  uint64_t seed_;
};

}  // namespace

std::unique_ptr<WeightSource> make_dummy_source(const ModelConfig& config, uint64_t seed) {
  return std::make_unique<DummySource>(config.tie_word_embeddings, seed);
}

}  // namespace ernie::model
