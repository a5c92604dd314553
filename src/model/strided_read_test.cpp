#include "model/strided_read.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "tensor/bf16.h"

namespace ernie::model {
namespace {

// Element (r, c) of the logical matrix: exact in every type that is stored.
float value(int64_t r, int64_t c) { return static_cast<float>((r * 31 + c * 7) % 255 - 127); }

// Of a whole number below 2048.
uint16_t half_bits(float v) {
  const auto magnitude = static_cast<unsigned>(std::abs(v));
  if (magnitude == 0) return 0;
  const int exponent = std::bit_width(magnitude) - 1;
  const unsigned mantissa = (magnitude << (10 - exponent)) & 0x3ffu;
  return static_cast<uint16_t>((v < 0 ? 0x8000u : 0u) | static_cast<unsigned>(exponent + 15) << 10 |
                               mantissa);
}

class StridedRead : public ::testing::TestWithParam<std::tuple<StoredType, bool, DType>> {};

// More rows and columns than a tile has, at an odd address.
TEST_P(StridedRead, GivesEveryElement) {
  const auto& [type, turned, dtype] = GetParam();
  constexpr int64_t kRows = 519, kCols = 75, kGap = 5;
  const size_t size = stored_type_bytes(type);
  const int64_t stride = (turned ? kRows : kCols) + kGap;
  std::vector<std::byte> stored(1 + static_cast<size_t>(stride * std::max(kRows, kCols)) * size);
  const StridedMatrix matrix{stored.data() + 1,  type, kRows, kCols, turned ? 1 : stride,
                             turned ? stride : 1};
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      const float v = value(r, c);
      const uint16_t bits = type == StoredType::kBF16 ? to_bf16(v).bits : half_bits(v);
      std::memcpy(stored.data() + 1 +
                      static_cast<size_t>(r * matrix.row_stride + c * matrix.col_stride) * size,
                  type == StoredType::kF32 ? static_cast<const void*>(&v) : &bits, size);
    }
  }
  std::vector<float> wide(kRows * kCols);
  std::vector<BF16> narrow(kRows * kCols);
  read_strided(matrix, dtype,
               dtype == DType::kF32 ? static_cast<void*>(wide.data()) : narrow.data());
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      const size_t i = static_cast<size_t>(r * kCols + c);
      const float got = dtype == DType::kF32 ? wide[i] : to_float(narrow[i]);
      ASSERT_EQ(got, value(r, c)) << r << ", " << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllTypes, StridedRead,
    ::testing::Combine(::testing::Values(StoredType::kBF16, StoredType::kF16, StoredType::kF32),
                       ::testing::Bool(), ::testing::Values(DType::kF32, DType::kBF16)));

}  // namespace
}  // namespace ernie::model
