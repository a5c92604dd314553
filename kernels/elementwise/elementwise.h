#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/common/element_type.h"

namespace ernie::kernels {

enum class Activation : uint8_t {
  kNone,
  kQuickGelu,  // x * sigmoid(1.702 x)
  kGeluErf,    // x * Phi(x)
};

// inout[i] = inout[i] + x[i], rounded once.
struct AddParams {
  const void* x = nullptr;  // [count]
  void* inout = nullptr;    // [count]
  int64_t count = 0;
  ElementType type = ElementType::kBF16;
};
cudaError_t launch_add(const AddParams& params, cudaStream_t stream);

// Between float32 and bfloat16; equal types are copied.
struct CastParams {
  const void* in = nullptr;  // [count]
  void* out = nullptr;       // [count]
  int64_t count = 0;
  ElementType in_type = ElementType::kF32;
  ElementType out_type = ElementType::kBF16;
};
cudaError_t launch_cast(const CastParams& params, cudaStream_t stream);

// out = silu(gate) * up (Shazeer, arXiv 2002.05202).
struct SwiGluParams {
  const void* gate_up = nullptr;  // [rows, 2 * width]: gate, then up
  void* out = nullptr;            // [rows, width]
  int64_t rows = 0;
  int64_t width = 0;
  ElementType type = ElementType::kBF16;
};
cudaError_t launch_swiglu(const SwiGluParams& params, cudaStream_t stream);

// out = (pixel / 255 - mean[c]) / std[c] for pixels ordered (channel, row, column).
struct NormalizePatchesParams {
  const uint8_t* patches = nullptr;  // [rows, 3 * plane]
  void* out = nullptr;               // [rows, 3 * plane]
  int64_t rows = 0;
  int64_t plane = 0;  // pixels of one channel of one patch
  float mean[3] = {};
  float std[3] = {};
  ElementType out_type = ElementType::kBF16;
};
cudaError_t launch_normalize_patches(const NormalizePatchesParams& params, cudaStream_t stream);

// out = activation(in + bias): what is left of a matrix product whose library cannot do it. `in`
// and `out` may be the same memory.
struct BiasActivationParams {
  const float* in = nullptr;   // [rows, width]
  const void* bias = nullptr;  // [width] or null
  void* out = nullptr;         // [rows, width]
  int64_t rows = 0;
  int64_t width = 0;
  Activation activation = Activation::kNone;
  ElementType bias_type = ElementType::kBF16;
  ElementType out_type = ElementType::kBF16;
};
cudaError_t launch_bias_activation(const BiasActivationParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
