#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "kernels/moe/router.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

struct Shape {
  int tokens;
  int hidden;
  int experts[2];
  int top_k;
  bool bias = true;
  bool any_vision = true;
};

// One router on the host and the device.
template <class T>
class Router {
 public:
  Router(const Shape& shape, uint64_t seed) : shape_(shape) {
    Random random(seed);
    const auto hidden = static_cast<size_t>(shape.hidden);
    x = random.normal<T>(static_cast<size_t>(shape.tokens) * hidden);
    for (int m = 0; m < 2; ++m) {
      const auto experts = static_cast<size_t>(shape.experts[m]);
      weights[m] = random.normal<float>(experts * hidden, 1.0 / std::sqrt(shape.hidden));
      bias[m] = random.normal<float>(experts, 0.02);
    }
    vision.resize(static_cast<size_t>(shape.tokens));
    for (size_t t = 0; t < vision.size(); ++t) vision[t] = t % 7 < 3 && shape.any_vision;
  }

  // Routes `count` tokens from `first` on.
  void run(int first, int count, std::vector<int32_t>& ids, std::vector<float>& chosen,
           std::vector<float>& logits) const {
    const auto hidden = static_cast<size_t>(shape_.hidden);
    const auto begin = x.begin() + static_cast<std::ptrdiff_t>(hidden) * first;
    const DeviceArray<T> device_x(
        std::vector<T>(begin, begin + static_cast<std::ptrdiff_t>(hidden) * count));
    const DeviceArray<uint8_t> device_vision(
        std::vector<uint8_t>(vision.begin() + first, vision.begin() + first + count));
    const DeviceArray<float> text(weights[0]), seen(weights[1]);
    const DeviceArray<float> text_bias(bias[0]), seen_bias(bias[1]);
    const DeviceArray<uint32_t> arrivals(std::vector<uint32_t>(
        static_cast<size_t>((count + kRouterTokenTile - 1) / kRouterTokenTile)));
    const DeviceArray<float> device_logits(static_cast<size_t>(count) *
                                           std::max(shape_.experts[0], shape_.experts[1]));
    const DeviceArray<int32_t> device_ids(static_cast<size_t>(count) * shape_.top_k);
    const DeviceArray<float> device_weights(static_cast<size_t>(count) * shape_.top_k);
    MoeRouterParams p;
    p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
    p.x = device_x.data();
    p.is_vision = shape_.any_vision ? device_vision.data() : nullptr;
    p.any_vision = shape_.any_vision;
    p.router[0] = text.data();
    p.router[1] = shape_.any_vision ? seen.data() : nullptr;
    if (shape_.bias) p.bias[0] = text_bias.data(), p.bias[1] = seen_bias.data();
    p.experts[0] = shape_.experts[0];
    p.experts[1] = shape_.any_vision ? shape_.experts[1] : 0;
    p.tokens = count;
    p.hidden = shape_.hidden;
    p.top_k = shape_.top_k;
    p.logits = device_logits.data();
    p.arrivals = arrivals.data();
    p.expert_ids = device_ids.data();
    p.expert_weights = device_weights.data();
    testing::run_in_graph([&](cudaStream_t stream) { return launch_moe_router(p, stream); }, 2);
    ids = device_ids.download();
    chosen = device_weights.download();
    logits = device_logits.download();
    const std::vector<uint32_t> left = arrivals.download();
    EXPECT(std::all_of(left.begin(), left.end(), [](uint32_t v) { return v == 0; }),
           "arrival counters are left at zero");
  }

  std::vector<T> x;
  std::vector<float> weights[2];
  std::vector<float> bias[2];
  std::vector<uint8_t> vision;

 private:
  Shape shape_;
};

template <class T>
void check_router(const Shape& shape) {
  const Router<T> router(shape, 21);
  std::vector<int32_t> ids;
  std::vector<float> weights;
  std::vector<float> logits;
  router.run(0, shape.tokens, ids, weights, logits);
  const std::string what = std::string(testing::type_name<T>()) + ", " +
                           std::to_string(shape.tokens) + " tokens of " +
                           std::to_string(shape.hidden) + ": ";
  for (int t = 0; t < shape.tokens; t += 1 + shape.tokens / 300) {
    const int m = router.vision[static_cast<size_t>(t)];
    const auto experts = static_cast<size_t>(shape.experts[m]);
    std::vector<double> p(experts);
    double sum = 0;
    for (size_t e = 0; e < experts; ++e) {
      double z = 0;
      for (size_t i = 0; i < static_cast<size_t>(shape.hidden); ++i) {
        const auto row = static_cast<size_t>(shape.hidden);
        z += testing::widen(router.x[static_cast<size_t>(t) * row + i]) *
             router.weights[m][e * row + i];
      }
      sum += p[e] = std::exp(z);
    }
    std::vector<double> score(experts);
    for (size_t e = 0; e < experts; ++e) {
      p[e] /= sum;
      score[e] = p[e] + (shape.bias ? router.bias[m][e] : 0.0f);
    }
    std::vector<double> sorted = score;
    std::sort(sorted.rbegin(), sorted.rend());
    std::vector<bool> taken(experts);
    double chosen_sum = 0;
    const size_t at = static_cast<size_t>(t) * shape.top_k;
    const int first = m == 1 ? shape.experts[0] : 0;
    bool sound = true;
    for (int k = 0; k < shape.top_k; ++k) {
      const int e = ids[at + k] - first;
      if (e < 0 || e >= shape.experts[m] || taken[static_cast<size_t>(e)]) {
        EXPECT(false,
               what + "token " + std::to_string(t) + " chose " + std::to_string(ids[at + k]));
        sound = false;
        break;
      }
      taken[static_cast<size_t>(e)] = true;
      chosen_sum += p[static_cast<size_t>(e)];
      // Rounding may exchange experts whose scores are as good as equal.
      EXPECT(std::abs(score[static_cast<size_t>(e)] - sorted[static_cast<size_t>(k)]) < 2e-6,
             what + "token " + std::to_string(t) + ", choice " + std::to_string(k) + " is " +
                 std::to_string(e));
    }
    for (int k = 0; sound && k < shape.top_k; ++k) {
      const double expected = p[static_cast<size_t>(ids[at + k] - first)] / chosen_sum;
      const double error = std::abs(weights[at + k] - expected);
      EXPECT(error < expected * testing::rounding<T>() + 5e-6,
             what + "weight " + std::to_string(weights[at + k]) + ", expected " +
                 std::to_string(expected));
    }
  }
}

KERNEL_TEST(RouterMatchesFloat64) {
  for (const int tokens : {1, 2, 7, 16, 17, 64, 300, 513, 2048}) {
    check_router<__nv_bfloat16>({tokens, 2560, {64, 64}, 6});
    check_router<float>({tokens, 256, {16, 12}, 4});
  }
  check_router<__nv_bfloat16>({33, 8192, {64, 64}, 8});
  check_router<__nv_bfloat16>({700, 72, {128, 5}, 5});
  check_router<__nv_bfloat16>({50, 72, {100, 128}, 8});
  check_router<__nv_bfloat16>({64, 64, {4, 4}, 1, false});
  check_router<__nv_bfloat16>({1000, 264, {64, 64}, 6, true, false});
  check_router<float>({600, 72, {20, 40}, 8, false});
}

KERNEL_TEST(SmallerIdsWinTies) {
  for (const int tokens : {3, 600}) {
    Router<__nv_bfloat16> router({tokens, 128, {40, 40}, 8, false}, 5);
    for (std::vector<float>& w : router.weights) std::fill(w.begin(), w.end(), 0.0f);
    std::vector<int32_t> ids;
    std::vector<float> weights;
    std::vector<float> logits;
    router.run(0, tokens, ids, weights, logits);
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool vision = router.vision[i / 8] != 0;
      EXPECT(ids[i] == static_cast<int>(i % 8) + (vision ? 40 : 0), std::to_string(ids[i]));
      EXPECT(weights[i] == 0.125f, std::to_string(weights[i]));
    }
  }
}

template <class T>
void check_independence() {
  const Shape shape{600, 2560, {64, 48}, 6};
  const Router<T> router(shape, 8);
  std::vector<int32_t> ids, some_ids;
  std::vector<float> weights, some_weights, logits, some_logits;
  router.run(0, shape.tokens, ids, weights, logits);
  for (const int count : {1, 5, 40}) {
    const int first = 123;
    router.run(first, count, some_ids, some_weights, some_logits);
    const auto part = [&](const auto& all, int width) {
      const auto begin = all.begin() + first * width;
      return std::decay_t<decltype(all)>(begin, begin + count * width);
    };
    testing::expect_same_bits(some_logits, part(logits, 64), "logits");
    testing::expect_same_bits(some_ids, part(ids, 6), "ids");
    testing::expect_same_bits(some_weights, part(weights, 6), "weights");
  }
}

KERNEL_TEST(RoutesDoNotDependOnTheBatch) {
  check_independence<__nv_bfloat16>();
  check_independence<float>();
}

}  // namespace
}  // namespace ernie::kernels
