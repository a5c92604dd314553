#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/common/element_type.h"

namespace ernie::kernels {

// Norms of rows of `width` elements. A row's result depends on nothing but the row; sums are
// float32 in an order that the width alone fixes. Weights may be read before the kernel that was
// launched just before has ended.
struct NormParams {
  const void* x = nullptr;       // [rows, width]
  void* residual = nullptr;      // [rows, width] or null: residual += x (rounded), then that is
                                 // normalised; RMS only
  const void* weight = nullptr;  // [width]
  const void* bias = nullptr;    // [width]; LayerNorm only
  void* out = nullptr;           // [rows, width]; may be x
  int64_t rows = 0;
  int64_t width = 0;
  float eps = 1e-5f;
  ElementType type = ElementType::kBF16;  // of all operands
};

// x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich, arXiv 1910.07467).
cudaError_t launch_rms_norm(const NormParams& params, cudaStream_t stream);
// (x - mean) / sqrt(variance + eps) * weight + bias (Ba et al., arXiv 1607.06450).
cudaError_t launch_layer_norm(const NormParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
