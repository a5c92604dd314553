#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>

#include "kernels/common/arch.h"
#include "kernels/moe/experts.h"
#include "kernels/quantized/quantized.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

enum class Mix {
  kText,        // vision experts are null pointers: touching one is a fault
  kVision,      // likewise with the text experts
  kBoth,        // every third token is a vision token
  kOneExpert,   // every token's first choice is text expert 0, the others are 1, 2, ...
  kFewExperts,  // only odd text experts, most have no tokens
};

struct Shape {
  int hidden;
  int experts[2];  // text, vision
  int width[2];
  int shared_width;
  int top_k;
  Mix mix = Mix::kBoth;
  std::array<WeightFormat, 3> formats = {};  // text, vision, shared
};

constexpr const char* kPathNames[] = {"auto", "single", "decode", "ampere", "hopper"};

// Quick numbers with 16 random bits, uniform in [-scale, scale).
template <class T>
std::vector<T> uniform(Random& random, size_t count, double scale) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; i += 4) {
    const uint64_t bits = random.bits();
    for (size_t j = 0; j < 4 && i + j < count; ++j) {
      const double x = static_cast<int16_t>(bits >> (16 * j)) * 0x1p-15;
      values[i + j] = static_cast<T>(static_cast<float>(scale * x));
    }
  }
  return values;
}

template <class T>
class Layer {
 public:
  explicit Layer(const Shape& shape) : shape_(shape) {
    Random random(31);
    const int all = shape.experts[0] + shape.experts[1] + 1;
    std::vector<const void*> gate_up_pointers, down_pointers, gate_up_scales, down_scales;
    std::vector<MoeWeightMap> maps(static_cast<size_t>(2 * all));
    for (int e = 0; e < all; ++e) {
      const auto hidden = static_cast<size_t>(shape.hidden);
      const auto width = static_cast<size_t>(width_of(e));
      // Activations stay of order 1.
      const std::vector<T> gate_up =
          uniform<T>(random, 2 * width * hidden, 3.0 / std::sqrt(shape.hidden));
      const std::vector<T> down =
          uniform<T>(random, hidden * width, 3.0 / std::sqrt(static_cast<double>(width) + 1));
      gate_up_.emplace_back(gate_up.begin(), gate_up.end());
      down_.emplace_back(down.begin(), down.end());
      const int modality = e < shape.experts[0] ? 0 : 1;
      const bool shared = e == all - 1;
      const bool used =
          shared ? shape.shared_width > 0
                 : !(shape.mix == Mix::kVision && modality == 0) &&
                       (shape.mix == Mix::kVision || shape.mix == Mix::kBoth || modality == 0);
      gate_up_pointers.push_back(nullptr);
      down_pointers.push_back(nullptr);
      gate_up_scales.push_back(nullptr);
      down_scales.push_back(nullptr);
      if (!used) continue;
      const WeightFormat format = shape.formats[shared ? 2 : modality];
      if (format.type != WeightType::kNative) {
        quantize(gate_up, gate_up_.back(), 2 * width_of(e), shape.hidden, format, RowOrder::kGateUp,
                 gate_up_pointers.back(), gate_up_scales.back());
        quantize(down, down_.back(), shape.hidden, width_of(e), format, RowOrder::kPlain,
                 down_pointers.back(), down_scales.back());
        continue;
      }
      device_.push_back(std::make_unique<DeviceArray<T>>(gate_up));
      gate_up_pointers.back() = device_.back()->data();
      device_.push_back(std::make_unique<DeviceArray<T>>(down));
      down_pointers.back() = device_.back()->data();
      if (std::is_same_v<T, float> || arch() < 90) continue;
      const auto at = static_cast<size_t>(2 * e);
      CUDA_OK(
          encode_moe_weight_map(gate_up_pointers.back(), 2 * width_of(e), shape.hidden, &maps[at]));
      CUDA_OK(
          encode_moe_weight_map(down_pointers.back(), shape.hidden, width_of(e), &maps[at + 1]));
    }
    gate_up_pointers_ = std::make_unique<DeviceArray<const void*>>(gate_up_pointers);
    down_pointers_ = std::make_unique<DeviceArray<const void*>>(down_pointers);
    gate_up_scales_ = std::make_unique<DeviceArray<const void*>>(gate_up_scales);
    down_scales_ = std::make_unique<DeviceArray<const void*>>(down_scales);
    maps_ = std::make_unique<DeviceArray<MoeWeightMap>>(maps);
  }

  int width_of(int expert) const {
    if (expert == shape_.experts[0] + shape_.experts[1]) return shape_.shared_width;
    return shape_.width[expert < shape_.experts[0] ? 0 : 1];
  }

  // A batch: what is routed where.
  struct Batch {
    std::vector<T> x;
    std::vector<int32_t> ids;
    std::vector<float> weights;
    int tokens() const { return tokens_; }
    int tokens_ = 0;
  };
  Batch make_batch(int tokens) const {
    Random random(77 + static_cast<uint64_t>(tokens));
    Batch batch;
    batch.tokens_ = tokens;
    batch.x = uniform<T>(random, static_cast<size_t>(tokens) * shape_.hidden, 1.7);
    for (int t = 0; t < tokens; ++t) {
      const bool vision = shape_.mix == Mix::kVision || (shape_.mix == Mix::kBoth && t % 3 == 1);
      const int experts = shape_.experts[vision ? 1 : 0];
      const int first = vision ? shape_.experts[0] : 0;
      std::vector<int32_t> chosen;
      while (static_cast<int>(chosen.size()) < shape_.top_k) {
        auto e = static_cast<int32_t>(random.integer(0, experts - 1));
        if (shape_.mix == Mix::kOneExpert) e = static_cast<int32_t>(chosen.size());
        if (shape_.mix == Mix::kFewExperts) e |= 1;
        if (std::find(chosen.begin(), chosen.end(), first + e) == chosen.end()) {
          chosen.push_back(first + e);
        }
      }
      for (const int32_t e : chosen) {
        batch.ids.push_back(e);
        batch.weights.push_back(static_cast<float>(0.1 + 0.4 * random.uniform()));
      }
    }
    return batch;
  }
  Batch part(const Batch& batch, int first, int count) const {
    const auto cut = [&](const auto& all, int width) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first) * width;
      return std::decay_t<decltype(all)>(begin, begin + static_cast<std::ptrdiff_t>(count) * width);
    };
    Batch result;
    result.x = cut(batch.x, shape_.hidden);
    result.ids = cut(batch.ids, shape_.top_k);
    result.weights = cut(batch.weights, shape_.top_k);
    result.tokens_ = count;
    return result;
  }

  template <class Out>
  std::vector<Out> run(const Batch& batch, MoePath path) const {
    const DeviceArray<T> x(batch.x);
    const DeviceArray<int32_t> ids(batch.ids);
    const DeviceArray<float> weights(batch.weights);
    const DeviceArray<Out> out(batch.x.size());
    MoeExpertsParams p;
    p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
    p.x = x.data();
    p.expert_ids = ids.data();
    p.expert_weights = weights.data();
    p.tokens = batch.tokens();
    p.hidden = shape_.hidden;
    p.top_k = shape_.top_k;
    p.text_experts = shape_.experts[0];
    p.vision_experts = shape_.experts[1];
    p.text_width = shape_.width[0];
    p.vision_width = shape_.width[1];
    p.shared_width = shape_.shared_width;
    p.gate_up = gate_up_pointers_->data();
    p.down = down_pointers_->data();
    p.gate_up_scales = gate_up_scales_->data();
    p.down_scales = down_scales_->data();
    p.text_format = shape_.formats[0];
    p.vision_format = shape_.formats[1];
    p.shared_format = shape_.formats[2];
    p.weight_maps = maps_->data();
    p.out = out.data();
    p.out_type = std::is_same_v<Out, float> ? ElementType::kF32 : ElementType::kBF16;
    p.path = path;
    // All ones to begin with, NaN as numbers: what is read without being written shows.
    const DeviceArray<char> workspace(moe_experts_workspace_bytes(p));
    p.workspace = workspace.data();
    testing::run_in_graph([&](cudaStream_t stream) { return launch_moe_experts(p, stream); }, 2);
    return out.download();
  }

  // One token's output in float64, and how far from it rounding may lead: an activation that lies
  // between two bfloat16 numbers may be rounded either way.
  void reference(const Batch& batch, int token, std::vector<double>& out,
                 std::vector<double>& tolerance) const {
    const auto hidden = static_cast<size_t>(shape_.hidden);
    const T* x = batch.x.data() + static_cast<size_t>(token) * hidden;
    out.assign(hidden, 0.0);
    std::vector<double> squares(hidden);
    const int shared = shape_.experts[0] + shape_.experts[1];
    for (int k = 0; k < shape_.top_k + (shape_.shared_width > 0 ? 1 : 0); ++k) {
      const size_t at = static_cast<size_t>(token) * shape_.top_k + k;
      const int e = k < shape_.top_k ? batch.ids[at] : shared;
      const double weight = k < shape_.top_k ? batch.weights[at] : 1.0;
      const auto width = static_cast<size_t>(width_of(e));
      const std::vector<float>& gate_up = gate_up_[static_cast<size_t>(e)];
      const std::vector<float>& down = down_[static_cast<size_t>(e)];
      std::vector<double> inner(width);
      for (size_t j = 0; j < width; ++j) {
        double gate = 0;
        double up = 0;
        for (size_t i = 0; i < hidden; ++i) {
          gate += testing::widen(x[i]) * double{gate_up[j * hidden + i]};
          up += testing::widen(x[i]) * double{gate_up[(width + j) * hidden + i]};
        }
        inner[j] =
            testing::widen(static_cast<T>(static_cast<float>(gate / (1 + std::exp(-gate)) * up)));
      }
      for (size_t i = 0; i < hidden; ++i) {
        double sum = 0;
        double square = 0;
        for (size_t j = 0; j < width; ++j) {
          const double term = inner[j] * double{down[i * width + j]};
          sum += term;
          square += term * term;
        }
        out[i] += weight * sum;
        squares[i] += weight * weight * square;
      }
    }
    tolerance.resize(hidden);
    for (size_t i = 0; i < hidden; ++i) {
      tolerance[i] = (std::is_same_v<T, float> ? 1e-5 : 6e-3) * std::sqrt(squares[i]);
    }
  }

 private:
  // Leaves in `values` what the quantised weights stand for.
  void quantize(const std::vector<T>& weights, std::vector<float>& values, int64_t rows,
                int64_t cols, WeightFormat format, RowOrder order, const void*& packed,
                const void*& scales) {
    bytes_.push_back(
        std::make_unique<DeviceArray<char>>(quantized_value_bytes(rows, cols, format, order)));
    packed = bytes_.back()->data();
    QuantizeParams p;
    p.out = {format, order, rows, cols, bytes_.back()->data(), nullptr};
    bytes_.push_back(
        std::make_unique<DeviceArray<char>>(quantized_scale_bytes(rows, cols, format, order)));
    scales = p.out.scales = bytes_.back()->data();
    const DeviceArray<T> in(weights);
    const DeviceArray<float> out(values.size());
    p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
    p.in = in.data();
    p.stride = p.all_cols = cols;
    p.rows = rows;
    testing::run([&](cudaStream_t stream) {
      const cudaError_t error = launch_quantize(p, stream);
      return error != cudaSuccess ? error
                                  : launch_dequantize(p.out, ElementType::kF32, out.data(), stream);
    });
    values = out.download();
  }

  Shape shape_;
  std::vector<std::vector<float>> gate_up_;
  std::vector<std::vector<float>> down_;
  std::vector<std::unique_ptr<DeviceArray<T>>> device_;
  std::vector<std::unique_ptr<DeviceArray<char>>> bytes_;
  std::unique_ptr<DeviceArray<const void*>> gate_up_pointers_;
  std::unique_ptr<DeviceArray<const void*>> down_pointers_;
  std::unique_ptr<DeviceArray<const void*>> gate_up_scales_;
  std::unique_ptr<DeviceArray<const void*>> down_scales_;
  std::unique_ptr<DeviceArray<MoeWeightMap>> maps_;
};

bool is_quantized(const Shape& shape) {
  return shape.formats[shape.experts[0] > 0 ? 0 : 1].type != WeightType::kNative;
}

template <class T>
std::vector<MoePath> paths_for(const Shape& shape, int tokens) {
  if (std::is_same_v<T, float>) return {MoePath::kAuto};
  std::vector<MoePath> paths{MoePath::kAmpere};
  if (tokens == 1) paths.push_back(MoePath::kSingle);
  if (tokens <= kMaxDecodeTokens) paths.push_back(MoePath::kDecode);
  if (arch() >= 90 && !is_quantized(shape)) paths.push_back(MoePath::kHopper);
  return paths;
}

std::string name_of(const Shape& s, int tokens, MoePath path) {
  std::string formats;
  for (const WeightFormat& format : s.formats) {
    if (format.type == WeightType::kNative) continue;
    formats += ", int" + std::to_string(bits_of(format.type)) + "/" + std::to_string(format.group);
  }
  return std::string(kPathNames[static_cast<int>(path)]) + ", " + std::to_string(tokens) +
         " tokens, hidden " + std::to_string(s.hidden) + ", experts " +
         std::to_string(s.experts[0]) + " x " + std::to_string(s.width[0]) + " and " +
         std::to_string(s.experts[1]) + " x " + std::to_string(s.width[1]) + ", shared " +
         std::to_string(s.shared_width) + ", top " + std::to_string(s.top_k) + formats;
}

template <class T>
void check(const Shape& shape, const std::vector<int>& token_counts, int references = 6) {
  const Layer<T> layer(shape);
  for (const int tokens : token_counts) {
    const auto batch = layer.make_batch(tokens);
    const auto hidden = static_cast<size_t>(shape.hidden);
    std::vector<std::vector<double>> expected, tolerance;
    std::vector<int> checked;
    for (int i = 0; i < std::min(references, tokens); ++i) {
      checked.push_back(
          references == 1 ? 0 : i * (tokens - 1) / std::max(1, std::min(references, tokens) - 1));
      expected.emplace_back();
      tolerance.emplace_back();
      layer.reference(batch, checked.back(), expected.back(), tolerance.back());
    }
    for (const MoePath path : paths_for<T>(shape, tokens)) {
      const std::string what = name_of(shape, tokens, path);
      const std::vector<float> out = layer.template run<float>(batch, path);
      for (size_t c = 0; c < checked.size(); ++c) {
        const auto begin = out.begin() + static_cast<std::ptrdiff_t>(hidden) * checked[c];
        const std::vector<double> row(begin, begin + static_cast<std::ptrdiff_t>(hidden));
        testing::expect_close_values(
            row, expected[c],
            [&](size_t i) {
              return testing::Tolerance{1e-5, tolerance[c][i] + 1e-6};
            },
            what + ", token " + std::to_string(checked[c]));
      }
      // Every row was written, and T is float32 rounded once.
      std::vector<T> rounded(out.size());
      for (size_t i = 0; i < out.size(); ++i) {
        rounded[i] = static_cast<T>(out[i]);
        if (!std::isfinite(out[i])) {
          EXPECT(false, what + ": element " + std::to_string(i) + " is not finite");
          break;
        }
      }
      testing::expect_same_bits(layer.template run<T>(batch, path), rounded, what + ", rounded");
    }
  }
}

const std::vector<int> kTokens = testing::is_sanitized()
                                     ? std::vector<int>{1, 7, 300}
                                     : std::vector<int>{1, 2, 7, 16, 64, 300, 2048};

KERNEL_TEST(ExpertsOfBothModalities) {
  check<__nv_bfloat16>({64, {4, 4}, {32, 32}, 0, 1}, kTokens);
  check<__nv_bfloat16>({256, {16, 16}, {192, 64}, 0, 6}, kTokens);
  check<__nv_bfloat16>({256, {64, 64}, {128, 64}, 256, 8}, kTokens, 3);
  check<__nv_bfloat16>({72, {8, 8}, {96, 40}, 64, 3}, kTokens);  // no multiples of a tile
  check<__nv_bfloat16>({1000, {5, 3}, {120, 200}, 8, 2}, {1, 33, 65, 300});
}

KERNEL_TEST(TextStepsTouchNoVisionExpert) {
  check<__nv_bfloat16>({128, {16, 16}, {96, 512}, 192, 4, Mix::kText}, kTokens);
}

KERNEL_TEST(VisionStepsTouchNoTextExpert) {
  check<__nv_bfloat16>({128, {16, 16}, {512, 96}, 0, 4, Mix::kVision}, kTokens);
}

KERNEL_TEST(AllTokensMayChooseOneExpert) {
  check<__nv_bfloat16>({256, {16, 0}, {160, 0}, 0, 1, Mix::kOneExpert}, kTokens);
  check<__nv_bfloat16>({256, {16, 0}, {160, 0}, 96, 4, Mix::kOneExpert}, {1, 64, 300});
}

KERNEL_TEST(MostExpertsMayHaveNoTokens) {
  check<__nv_bfloat16>({128, {64, 0}, {64, 0}, 0, 2, Mix::kFewExperts}, kTokens);
}

KERNEL_TEST(WideExperts) {
  if (testing::is_sanitized()) {
    return check<__nv_bfloat16>({1280, {3, 2}, {1536, 512}, 3072, 2}, {7, 40}, 2);
  }
  check<__nv_bfloat16>({2560, {6, 4}, {1536, 512}, 3072, 2}, kTokens, 2);
  check<__nv_bfloat16>({4096, {4, 0}, {896, 0}, 0, 2, Mix::kText}, {3, 500}, 2);
}

// Shapes that share out unevenly among blocks, warps and parts, and one too wide for kSingle.
KERNEL_TEST(OneToken) {
  check<__nv_bfloat16>({2560, {64, 64}, {1536, 512}, 3072, 6}, {1});
  check<__nv_bfloat16>({2560, {64, 64}, {1536, 512}, 3072, 6, Mix::kVision}, {1});
  check<__nv_bfloat16>({1096, {9, 0}, {328, 0}, 1000, 8, Mix::kText}, {1});
  check<__nv_bfloat16>({8, {2, 0}, {8, 0}, 0, 2, Mix::kText}, {1});
  check<__nv_bfloat16>({264, {8, 0}, {6000, 0}, 0, 8, Mix::kText}, {1});
}

// An id that names no expert adds nothing.
KERNEL_TEST(AChoiceThatIsNoExpertAddsNothing) {
  const Shape shape{512, {16, 16}, {192, 96}, 128, 4};
  const Layer<__nv_bfloat16> layer(shape);
  auto batch = layer.make_batch(1);
  for (const int32_t nobody : {-1, 32, 1 << 30}) {
    batch.ids[2] = nobody;
    auto without = batch;
    without.ids[2] = 0;
    without.weights[2] = 0.0f;
    for (const MoePath path : {MoePath::kSingle, MoePath::kDecode}) {
      const std::vector<float> got = layer.run<float>(batch, path);
      const std::vector<float> expected = layer.run<float>(without, path);
      testing::expect_close(got, std::vector<double>(expected.begin(), expected.end()),
                            {1e-5, 1e-5}, name_of(shape, 1, path));
    }
  }
}

KERNEL_TEST(Float32Experts) {
  check<float>({64, {4, 4}, {33, 20}, 17, 2}, {1, 2, 7, 64, 300});
  check<float>({256, {16, 16}, {96, 64}, 0, 8}, {1, 40});
}

// The same bits for a token alone, in a small batch and in a large one, on the same path.
KERNEL_TEST(ATokenDoesNotDependOnTheBatch) {
  const Shape shape{512, {16, 16}, {192, 96}, 128, 4};
  const Layer<__nv_bfloat16> layer(shape);
  for (const int tokens : {64, 2100}) {
    const auto batch = layer.make_batch(tokens);
    for (const MoePath path : paths_for<__nv_bfloat16>(shape, tokens)) {
      const std::vector<float> all = layer.run<float>(batch, path);
      for (const int count : {1, 9, 33}) {
        const int first = 20;
        const std::vector<float> some = layer.run<float>(layer.part(batch, first, count), path);
        const auto begin = all.begin() + first * shape.hidden;
        testing::expect_same_bits(
            some, std::vector<float>(begin, begin + count * shape.hidden),
            name_of(shape, tokens, path) + ", " + std::to_string(count) + " alone");
      }
    }
  }
}

constexpr WeightFormat kInt4{WeightType::kInt4, 0};
constexpr WeightFormat kInt8{WeightType::kInt8, 0};

Shape quantized(Shape shape, WeightFormat text, WeightFormat vision, WeightFormat shared) {
  shape.formats = {text, vision, shared};
  return shape;
}

const std::vector<int> kQuantizedTokens = testing::is_sanitized()
                                              ? std::vector<int>{1, 7, 20}
                                              : std::vector<int>{1, 2, 5, 8, 9, 16, 31, 64, 200};

KERNEL_TEST(QuantizedExperts) {
  for (const WeightFormat routed : {kInt4, kInt8}) {
    const auto check_shape = [&](const Shape& shape) {
      check<__nv_bfloat16>(quantized(shape, routed, routed, kInt8), kQuantizedTokens, 3);
    };
    check_shape({64, {4, 4}, {32, 32}, 0, 1});
    check_shape({256, {64, 64}, {128, 64}, 256, 8});
    check_shape({72, {8, 8}, {96, 40}, 64, 3});  // no multiples of a tile
    check_shape({1000, {5, 3}, {120, 200}, 8, 2});
    check_shape({512, {16, 16}, {448, 192}, 0, 8});
    check_shape({128, {16, 16}, {96, 512}, 192, 4, Mix::kText});
    check_shape({128, {16, 16}, {512, 96}, 0, 4, Mix::kVision});
    check_shape({256, {16, 0}, {160, 0}, 96, 4, Mix::kOneExpert});
    check_shape({128, {64, 0}, {64, 0}, 0, 2, Mix::kFewExperts});
  }
}

KERNEL_TEST(QuantizedFormatsMayDiffer) {
  check<__nv_bfloat16>(quantized({256, {8, 8}, {192, 64}, 128, 4}, kInt4, kInt8, kInt4),
                       kQuantizedTokens);
  check<__nv_bfloat16>(quantized({256, {8, 8}, {192, 64}, 128, 4}, kInt8, kInt4, kInt8),
                       kQuantizedTokens);
}

KERNEL_TEST(QuantizedInGroups) {
  for (const int group : {32, 64, 128}) {
    const WeightFormat int4{WeightType::kInt4, group};
    const WeightFormat int8{WeightType::kInt8, group};
    check<__nv_bfloat16>(quantized({264, {8, 8}, {192, 96}, 72, 4}, int4, int8, kInt8),
                         kQuantizedTokens, 3);
    check<__nv_bfloat16>(quantized({512, {8, 8}, {448, 192}, 128, 4}, int8, int4, int4),
                         kQuantizedTokens, 3);
    check<float>(quantized({264, {8, 8}, {192, 96}, 72, 4}, int4, int8, kInt8), {1, 30}, 3);
  }
}

KERNEL_TEST(WideQuantizedExperts) {
  if (testing::is_sanitized()) return;
  check<__nv_bfloat16>(quantized({2560, {6, 4}, {1536, 512}, 3072, 2}, kInt4, kInt4, kInt8),
                       {1, 3, 64}, 2);
  check<__nv_bfloat16>(
      quantized({2560, {8, 0}, {1536, 0}, 3072, 6, Mix::kText}, kInt4, kInt4, kInt8), {1}, 1);
  check<__nv_bfloat16>(quantized({8192, {8, 0}, {896, 0}, 0, 8, Mix::kText}, kInt4, kInt4, kInt4),
                       {1, 8, 40}, 1);
}

KERNEL_TEST(Float32QuantizedExperts) {
  check<float>(quantized({64, {4, 4}, {33, 20}, 17, 2}, kInt4, kInt8, kInt8), {1, 2, 64, 300}, 3);
}

KERNEL_TEST(AQuantizedChoiceThatIsNoExpertAddsNothing) {
  const Shape shape = quantized({512, {16, 16}, {192, 96}, 128, 4}, kInt4, kInt4, kInt8);
  const Layer<__nv_bfloat16> layer(shape);
  for (const int tokens : {1, 3}) {
    auto batch = layer.make_batch(tokens);
    for (const int32_t nobody : {-1, 32, 1 << 30}) {
      batch.ids[2] = nobody;
      auto without = batch;
      without.ids[2] = 0;
      without.weights[2] = 0.0f;
      const std::vector<float> got = layer.run<float>(batch, MoePath::kAuto);
      const std::vector<float> expected = layer.run<float>(without, MoePath::kAuto);
      testing::expect_close(got, std::vector<double>(expected.begin(), expected.end()),
                            {1e-5, 1e-5}, name_of(shape, tokens, MoePath::kAuto));
    }
  }
}

// All ways of the quantised products add up alike.
KERNEL_TEST(AQuantizedTokenDoesNotDependOnTheBatch) {
  for (const int group : {0, 64}) {
    const Shape shape = quantized({520, {16, 16}, {192, 96}, 128, 4}, {WeightType::kInt4, group},
                                  {WeightType::kInt8, group}, kInt8);
    const Layer<__nv_bfloat16> layer(shape);
    const auto batch = layer.make_batch(100);
    const std::vector<float> all = layer.run<float>(batch, MoePath::kAmpere);
    for (const int count : {1, 2, 8, 9, 33, 64}) {
      const int first = 20;
      const std::vector<float> some =
          layer.run<float>(layer.part(batch, first, count), MoePath::kDecode);
      const auto begin = all.begin() + first * shape.hidden;
      testing::expect_same_bits(
          some, std::vector<float>(begin, begin + count * shape.hidden),
          name_of(shape, 100, MoePath::kAuto) + ", " + std::to_string(count) + " alone");
    }
  }
}

KERNEL_TEST(ImpossibleRequestsAreRefused) {
  MoeExpertsParams p;
  p.tokens = 65;
  p.hidden = 64;
  p.top_k = 2;
  p.text_experts = 4;
  p.text_width = 64;
  const DeviceArray<char> workspace(moe_experts_workspace_bytes(p));
  p.workspace = workspace.data();
  const auto refused = [&](const char* what) {
    EXPECT(launch_moe_experts(p, nullptr) == cudaErrorInvalidValue, what);
  };
  p.path = MoePath::kDecode;
  refused("too many tokens to decode");
  p.path = MoePath::kSingle;
  refused("more than one token");
  p.path = MoePath::kHopper;
  refused("no weight maps");
  p.path = MoePath::kAuto;
  p.hidden = 60;
  refused("hidden is no multiple of 8");
  p.hidden = 64;
  p.text_width = 20;
  refused("width is no multiple of 8");
  p.text_width = 64;
  p.top_k = 9;
  refused("top_k above 8");
  p.tokens = 0;
  EXPECT(launch_moe_experts(p, nullptr) == cudaSuccess, "no tokens are nothing to do");
}

}  // namespace
}  // namespace ernie::kernels
