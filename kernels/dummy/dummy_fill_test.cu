#include <cstring>

#include "kernels/dummy/dummy_fill.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;

struct Case {
  uint64_t key;
  int64_t first, row_stride, rows, cols;
  float mean, deviation;
};

constexpr Case kCases[] = {
    {0x123456789abcdef0ull, 0, 2560, 33, 2560, 0, 0.019764235f},
    {0xffffffffffffffffull, 7 * 2560 + 320, 2560, 70000, 8, 0, 0.019764235f},  // odd rank's columns
    {42, 3, 101, 17, 37, 0, 0.1f},                         // odd numbers and widths
    {7, (int64_t{1} << 40) + 1, 1536, 5, 1536, 0, 0.02f},  // numbers beyond 32 bits
    {9, 0, 1000, 1, 1000, 1, 0.02f},                       // a norm
    {11, 5, 4096, 3, 4096, -0.3f, 3.7f},
};

// Written for the host, which has no fused multiply-add without -march.
float reference(const Case& c, int64_t n) {
  uint64_t z = c.key + static_cast<uint64_t>(n / 2) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z ^= z >> 31;
  int sum = -510;
  for (int byte = 0; byte < 4; ++byte) {
    sum += static_cast<int>((z >> (32 * (n % 2) + 8 * byte)) & 0xff);
  }
  const float bell = static_cast<float>(sum) / 147.80054f;
  const volatile float product = c.deviation * bell;
  return c.mean + product;
}

// Round to nearest even, as src/tensor/bf16.h.
__nv_bfloat16 round_to(float f, __nv_bfloat16) {
  uint32_t u = 0;
  std::memcpy(&u, &f, sizeof(u));
  return __ushort_as_bfloat16(static_cast<unsigned short>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16));
}
float round_to(float f, float) { return f; }

template <class T>
void check_case(const Case& c, ElementType type, size_t skip) {
  const size_t count = static_cast<size_t>(c.rows * c.cols);
  const DeviceArray<T> out(skip + count);
  testing::run_in_graph([&](cudaStream_t s) {
    return launch_dummy_fill({.type = type,
                              .out = out.data() + skip,
                              .key = c.key,
                              .first = c.first,
                              .row_stride = c.row_stride,
                              .rows = c.rows,
                              .cols = c.cols,
                              .mean = c.mean,
                              .deviation = c.deviation},
                             s);
  });
  std::vector<T> expected(count);
  for (int64_t r = 0; r < c.rows; ++r) {
    for (int64_t col = 0; col < c.cols; ++col) {
      expected[static_cast<size_t>(r * c.cols + col)] =
          round_to(reference(c, c.first + r * c.row_stride + col), T{});
    }
  }
  const std::vector<T> all = out.download();
  testing::expect_same_bits(
      std::vector<T>(all.begin() + static_cast<long>(skip), all.end()), expected,
      std::string(testing::type_name<T>()) + ", key " + std::to_string(c.key));
}

KERNEL_TEST(DummyFillGivesTheBitsOfTheHostFormula) {
  for (const Case& c : kCases) {
    for (const size_t skip : {0, 3}) {  // unaligned output too
      check_case<__nv_bfloat16>(c, ElementType::kBF16, skip);
      check_case<float>(c, ElementType::kF32, skip);
    }
  }
}

KERNEL_TEST(DummyFillOfNothingIsNothing) {
  testing::run([&](cudaStream_t s) { return launch_dummy_fill({.rows = 0, .cols = 8}, s); });
  testing::run([&](cudaStream_t s) { return launch_dummy_fill({.rows = 8, .cols = 0}, s); });
}

}  // namespace
}  // namespace ernie::kernels
