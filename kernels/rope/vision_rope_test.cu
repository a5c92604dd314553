#include <cmath>

#include "kernels/rope/vision_rope.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

template <class T>
void check_rope(int patches, int heads, int d) {
  Random random(static_cast<uint64_t>(patches * 1000 + d));
  const int width = 3 * heads * d;
  const std::vector<T> before = random.normal<T>(static_cast<size_t>(patches) * width);
  const std::vector<int32_t> positions = random.integers(static_cast<size_t>(patches) * 2, 0, 999);
  const DeviceArray<T> qkv(before);
  const DeviceArray<int32_t> device_positions(positions);
  VisionRopeParams p;
  p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
  p.qkv = qkv.data();
  p.positions = device_positions.data();
  p.patches = patches;
  p.heads = heads;
  p.head_dim = d;
  testing::run_in_graph([&](cudaStream_t stream) { return launch_vision_rope(p, stream); });

  std::vector<double> expected(before.size()), magnitude(before.size());
  for (size_t at = 0; at < before.size(); ++at) {
    const size_t patch = at / static_cast<size_t>(width);
    const int i = static_cast<int>(at % static_cast<size_t>(width));
    expected[at] = testing::widen(before[at]);
    if (i >= 2 * heads * d) continue;
    const int j = i % (d / 2);
    const double power = std::pow(10000.0, -2.0 * (j % (d / 4)) / (d / 2));
    const float angle =
        static_cast<float>(positions[patch * 2 + (j < d / 4 ? 0 : 1)]) * static_cast<float>(power);
    const bool first_half = i % d < d / 2;
    const double other = testing::widen(before[first_half ? at + d / 2 : at - d / 2]);
    expected[at] = expected[at] * std::cos(double{angle}) +
                   (first_half ? -other : other) * std::sin(double{angle});
    magnitude[at] = std::abs(testing::widen(before[at])) + std::abs(other);
  }
  testing::expect_close_sums(qkv.download(), expected, magnitude,
                             std::string(testing::type_name<T>()) + ", " + std::to_string(patches) +
                                 " patches, head_dim " + std::to_string(d),
                             1e-6);
}

KERNEL_TEST(TurnsHalvesByRowAndColumn) {
  for (int d : {80, 64, 72, 40, 20, 16, 128}) {
    for (int patches : {1, 4, 37}) {
      check_rope<float>(patches, 3, d);
      check_rope<__nv_bfloat16>(patches, 3, d);
    }
  }
  check_rope<__nv_bfloat16>(1024, 16, 80);
}

}  // namespace
}  // namespace ernie::kernels
