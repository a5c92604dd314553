#pragma once

#include <cstddef>
#include <cstdint>

#include "model/safetensors.h"
#include "tensor/dtype.h"

namespace ernie::model {

// A matrix inside a stored tensor: element (r, c) is at data + r * row_stride + c * col_stride,
// strides in elements. One of the strides is 1. The data may be unaligned.
struct StridedMatrix {
  const std::byte* data = nullptr;
  StoredType type = StoredType::kBF16;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
};

struct Slice;
StridedMatrix slice_of(StridedMatrix matrix, const Slice& slice);

// Copies the matrix to out, row-major, as kF32 or kBF16 (rounded to nearest even).
void read_strided(const StridedMatrix& matrix, DType dtype, void* out);

}  // namespace ernie::model
