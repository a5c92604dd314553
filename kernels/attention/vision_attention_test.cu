#include <cmath>

#include "kernels/attention/vision_attention.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

template <class T>
std::vector<T> attend(const std::vector<T>& qkv, const std::vector<int32_t>& starts, int heads,
                      int d) {
  const DeviceArray<T> device_qkv(qkv), out(qkv.size() / 3);
  const DeviceArray<int32_t> device_starts(starts);
  VisionAttentionParams p;
  p.type = std::is_same_v<T, float> ? ElementType::kF32 : ElementType::kBF16;
  p.qkv = device_qkv.data();
  p.out = out.data();
  p.segment_start = device_starts.data();
  p.segments = static_cast<int>(starts.size()) - 1;
  for (size_t s = 0; s + 1 < starts.size(); ++s) {
    p.max_segment = std::max(p.max_segment, starts[s + 1] - starts[s]);
  }
  p.heads = heads;
  p.head_dim = d;
  testing::run_in_graph([&](cudaStream_t stream) { return launch_vision_attention(p, stream); });
  return out.download();
}

template <class T>
void check_attention(const std::vector<int32_t>& starts, int heads, int d) {
  Random random(static_cast<uint64_t>(starts.back() * 100 + d));
  const int width = 3 * heads * d;
  const std::vector<T> qkv = random.normal<T>(static_cast<size_t>(starts.back()) * width, 1.3);
  const std::vector<T> out = attend(qkv, starts, heads, d);
  const std::string what = std::string(testing::type_name<T>()) + ", head_dim " +
                           std::to_string(d) + ", " + std::to_string(starts.back()) + " patches";
  std::vector<double> actual, expected, magnitude;
  for (size_t s = 0; s + 1 < starts.size(); ++s) {
    const int begin = starts[s], length = starts[s + 1] - begin;
    const auto at = [&](int row, int part, int head, int e) {
      return testing::widen(qkv[static_cast<size_t>(begin + row) * width +
                                static_cast<size_t>((part * heads + head) * d + e)]);
    };
    for (int i = length - 1; i >= 0; i -= 1 + length / 11) {
      const int head = i % heads;
      std::vector<double> scores(static_cast<size_t>(length));
      double top = -1e300, total = 0;
      for (int k = 0; k < length; ++k) {
        double dot = 0;
        for (int e = 0; e < d; ++e) dot += at(i, 0, head, e) * at(k, 1, head, e);
        scores[static_cast<size_t>(k)] = dot / std::sqrt(static_cast<double>(d));
        top = std::max(top, scores[static_cast<size_t>(k)]);
      }
      for (double& x : scores) total += x = std::exp(x - top);
      for (int e = 0; e < d; ++e) {
        double sum = 0, absolute = 0;
        for (int k = 0; k < length; ++k) {
          const double x = scores[static_cast<size_t>(k)] / total * at(k, 2, head, e);
          sum += x;
          absolute += std::abs(x);
        }
        actual.push_back(testing::widen(
            out[static_cast<size_t>(begin + i) * heads * d + static_cast<size_t>(head * d + e)]));
        expected.push_back(sum);
        magnitude.push_back(absolute);
      }
    }
    if (s < 3 && length > 0) {
      const auto first = qkv.begin() + int64_t{begin} * width;
      const std::vector<T> alone =
          attend(std::vector<T>(first, first + int64_t{length} * width), {0, length}, heads, d);
      const auto own = out.begin() + int64_t{begin} * heads * d;
      testing::expect_same_bits(alone, std::vector<T>(own, own + int64_t{length} * heads * d),
                                what + ", alone");
    }
  }
  const double error = std::is_same_v<T, float> ? 1e-5 : 0.003;
  testing::expect_close_values(
      actual, expected,
      [&](size_t i) {
        return testing::Tolerance{testing::rounding<T>(), error * magnitude[i]};
      },
      what);
}

KERNEL_TEST(AttendsInsideEachSegment) {
  for (int d : {80, 64, 16, 40, 72, 96, 128}) {
    check_attention<__nv_bfloat16>({0, 4, 4, 104, 232, 361}, 2, d);
  }
}

KERNEL_TEST(FallbackAttendsInsideEachSegment) {
  for (int d : {80, 40, 160}) {
    check_attention<float>({0, 4, 4, 104, 232}, 2, d);
    if (d == 160) check_attention<__nv_bfloat16>({0, 4, 104}, 2, d);
  }
}

KERNEL_TEST(LongSegments) {
  check_attention<__nv_bfloat16>({0, 1024, 1500, 6976}, testing::is_sanitized() ? 1 : 16, 80);
  if (!testing::is_sanitized()) check_attention<__nv_bfloat16>({0, 16384}, 1, 80);
}

}  // namespace
}  // namespace ernie::kernels
