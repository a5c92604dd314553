#pragma once

#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace ernie {

// A matrix whose values are made from their numbers instead of read: element (r, c) has number
// n = first + r * row_stride + c and the value mean + deviation * bell(key, n), where bell is the
// sum of four random bytes, brought to mean 0 and deviation 1. Every rank and every device makes
// the same bits, whatever slice it makes.
struct GeneratedMatrix {
  uint64_t key = 0;
  int64_t first = 0;
  int64_t row_stride = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  // As in HostMatrix.
  int64_t first_col = 0;
  int64_t all_cols = 0;
  float mean = 0;
  float deviation = 1;
};

// Rows of all parts of a stacked matrix; a CHECK failure when their widths differ.
int64_t stacked_rows(std::span<const GeneratedMatrix> parts);

// Writes the values to out, row-major, as kF32 or kBF16 (rounded to nearest even).
void generate(const GeneratedMatrix& matrix, DType dtype, void* out);

}  // namespace ernie
