#include "model/strided_read.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

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

template <StoredType kType, typename Out>
constexpr bool kSameBits = (kType == StoredType::kBF16 && std::is_same_v<Out, BF16>) ||
                           (kType == StoredType::kF32 && std::is_same_v<Out, float>);

void store(float v, float* out) { *out = v; }
void store(float v, BF16* out) { *out = to_bf16(v); }

// Copies or converts `count` neighbours.
template <StoredType kType, typename Out>
void copy_run(const std::byte* in, int64_t count, Out* out) {
  if constexpr (kSameBits<kType, Out>) {
    std::memcpy(out, in, static_cast<size_t>(count) * sizeof(Out));
  } else {
    constexpr int64_t kSize = kType == StoredType::kF32 ? 4 : 2;
    for (int64_t i = 0; i < count; ++i) store(load<kType>(in + i * kSize), out + i);
  }
}

template <StoredType kType, typename Out>
void copy(const StridedMatrix& m, Out* out) {
  constexpr int64_t kSize = kType == StoredType::kF32 ? 4 : 2;
  if (m.col_stride == 1) {
    for (int64_t r = 0; r < m.rows; ++r) {
      copy_run<kType>(m.data + r * m.row_stride * kSize, m.cols, out + r * m.cols);
    }
    return;
  }
  // A transposed matrix goes through tiles, so that both sides see whole cache lines: long runs of
  // a few stored rows, because a mapped file has small pages.
  constexpr int64_t kRun = 256;
  constexpr int64_t kWidth = 32;
  Out tile[kRun][kWidth + 2];  // two more, so that a column is spread over the cache's sets
  Out run[kRun];
  for (int64_t c = 0; c < m.cols; c += kWidth) {
    const int64_t cols = std::min(kWidth, m.cols - c);
    for (int64_t r = 0; r < m.rows; r += kRun) {
      const int64_t rows = std::min(kRun, m.rows - r);
      for (int64_t j = 0; j < cols; ++j) {
        copy_run<kType>(m.data + (r + (c + j) * m.col_stride) * kSize, rows, run);
        for (int64_t i = 0; i < rows; ++i) tile[i][j] = run[i];
      }
      for (int64_t i = 0; i < rows; ++i) std::copy_n(tile[i], cols, out + (r + i) * m.cols + c);
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
