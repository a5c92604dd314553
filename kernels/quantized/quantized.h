#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/common/element_type.h"
#include "kernels/common/weight_format.h"
#include "kernels/quantized/quantized_layout.h"

namespace ernie::kernels {

// Where a quantised matrix is written. values and scales are 256-byte aligned device memory of the
// sizes in quantized_layout.h.
struct QuantizedMatrix {
  WeightFormat format;
  RowOrder order = RowOrder::kPlain;
  int64_t rows = 0;
  int64_t cols = 0;
  void* values = nullptr;
  void* scales = nullptr;
};

// Quantises rows [first_row, first_row + rows) of `out`. With the absmax of a row or group in
// float32, q = round half away from zero (w / absmax * limit) clamped to +-limit, limit 7 or 127,
// and the scale is absmax / limit rounded to bfloat16 (FastDeploy's arithmetic for experts). An
// all-zero channel gives zeros; of one with NaN or infinity the scale is not finite and q is 0.
struct QuantizeParams {
  ElementType type = ElementType::kBF16;
  const void* in = nullptr;  // [rows, stride] of type
  int64_t stride = 0;        // elements from one row to the next
  int64_t rows = 0;
  // Columns [first_col, first_col + out.cols) of a row are quantised. Per channel, the absmax is
  // taken over columns [0, all_cols), so that a shard has the scales of the whole matrix.
  int64_t first_col = 0;
  int64_t all_cols = 0;
  int64_t first_row = 0;
  QuantizedMatrix out;
};
// The padding rows of a matrix are written with its last rows, those of columns with each row. Rows
// of one block of 16 share words, so launches for one matrix must not run at the same time.
cudaError_t launch_quantize(const QuantizeParams& params, cudaStream_t stream);

// Brings rows that are quantised already into the layout: compressed-tensors' pack-quantized form.
struct RepackParams {
  const void* values = nullptr;  // rows of 32-bit words: 4 bytes or 8 nibbles of q + 128 or q + 8,
                                 // the lowest k in the lowest bits
  int64_t stride = 0;            // words from one row to the next
  const void* scales = nullptr;  // bfloat16 [rows, scale_stride]
  int64_t scale_stride = 0;
  int64_t rows = 0;
  int64_t first_row = 0;
  QuantizedMatrix out;
};
cudaError_t launch_repack(const RepackParams& params, cudaStream_t stream);

// W in row-major T, rounded once: q * scale. For tests.
cudaError_t launch_dequantize(const QuantizedMatrix& in, ElementType type, void* out,
                              cudaStream_t stream);

}  // namespace ernie::kernels
