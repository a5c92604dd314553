#include <algorithm>

#include "kernels/rows/rows.h"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

constexpr size_t kRowBytes[] = {1, 6, 33, 66, 100, 128, 5120, 16384, 40000};

std::vector<uint8_t> random_bytes(Random& random, size_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.bits());
  return bytes;
}

KERNEL_TEST(GatherTakesRowsAndZerosForThoseItHasNot) {
  Random random(3);
  const int64_t table_rows = 37;
  const std::vector<int32_t> index = {100, 136, 99, 137, 117, 117, -5, 2000000000};
  const DeviceArray<int32_t> di(index);
  for (const size_t bytes : kRowBytes) {
    const auto table = random_bytes(random, table_rows * bytes);
    const DeviceArray<uint8_t> in(table), out(index.size() * bytes);
    testing::run_in_graph([&](cudaStream_t s) {
      return launch_gather_rows({.in = in.data(),
                                 .index = di.data(),
                                 .out = out.data(),
                                 .count = static_cast<int64_t>(index.size()),
                                 .row_bytes = bytes,
                                 .first_row = 100,
                                 .table_rows = table_rows},
                                s);
    });
    std::vector<uint8_t> expected(index.size() * bytes);
    for (size_t i = 0; i < index.size(); ++i) {
      const int64_t row = index[i] - int64_t{100};
      if (row < 0 || row >= table_rows) continue;
      std::copy_n(table.begin() + row * bytes, bytes, expected.begin() + i * bytes);
    }
    testing::expect_same_bits(out.download(), expected, "gather " + std::to_string(bytes));
  }
}

}  // namespace
}  // namespace ernie::kernels
