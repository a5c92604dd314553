#include "model/strided_read.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "model/weight_source.h"
#include "tensor/bf16.h"

namespace ernie::model {
namespace {

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude << 13));
  // Scaling by 2^112 moves the exponent's bias from 15 to 127, and normalises subnormal numbers.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

template <StoredType kType>
float load(const std::byte* at) {
  if constexpr (kType == StoredType::kF32) {
    float v;
    std::memcpy(&v, at, sizeof(v));
    return v;
  } else {
    uint16_t v;
    std::memcpy(&v, at, sizeof(v));
    return kType == StoredType::kBF16 ? to_float(BF16{v}) : half_to_float(v);
  }
}

void store(float v, float* out) { *out = v; }
void store(float v, BF16* out) { *out = to_bf16(v); }

template <StoredType kType, typename Out>
void copy(const StridedMatrix& m, Out* out) {
  constexpr int64_t kSize = kType == StoredType::kF32 ? 4 : 2;
  // Rows in blocks, so that reading along the columns of a transposed matrix uses whole cache
  // lines.
  constexpr int64_t kBlock = 64;
  if (m.col_stride == 1) {
    for (int64_t r = 0; r < m.rows; ++r) {
      const std::byte* row = m.data + r * m.row_stride * kSize;
      for (int64_t c = 0; c < m.cols; ++c) store(load<kType>(row + c * kSize), out++);
    }
    return;
  }
  for (int64_t begin = 0; begin < m.rows; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, m.rows);
    for (int64_t c = 0; c < m.cols; ++c) {
      const std::byte* column = m.data + c * m.col_stride * kSize;
      for (int64_t r = begin; r < end; ++r) {
        store(load<kType>(column + r * m.row_stride * kSize), out + r * m.cols + c);
      }
    }
  }
}

template <typename Out>
void copy_any(const StridedMatrix& m, Out* out) {
  switch (m.type) {
    case StoredType::kBF16:
      return copy<StoredType::kBF16>(m, out);
    case StoredType::kF16:
      return copy<StoredType::kF16>(m, out);
    case StoredType::kF32:
      return copy<StoredType::kF32>(m, out);
    case StoredType::kOther:
      CHECK(false, "elements of this type cannot be read");
  }
}

}  // namespace

StridedMatrix slice_of(StridedMatrix matrix, const Slice& slice) {
  CHECK(slice.row + slice.rows <= matrix.rows && slice.col + slice.cols <= matrix.cols,
        "slice outside its tensor");
  matrix.data += (slice.row * matrix.row_stride + slice.col * matrix.col_stride) *
                 static_cast<int64_t>(stored_type_bytes(matrix.type));
  matrix.rows = slice.rows;
  matrix.cols = slice.cols;
  return matrix;
}

void read_strided(const StridedMatrix& matrix, DType dtype, void* out) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "weights are read as float32 or bfloat16");
  if (dtype == DType::kF32) {
    copy_any(matrix, static_cast<float*>(out));
  } else {
    copy_any(matrix, static_cast<BF16*>(out));
  }
}

}  // namespace ernie::model
