#include "backend/cuda_sizing/weight_sizes.h"

#include "backend/cuda_sizing/kernel_types.h"
#include "tensor/slab_arena.h"

namespace ernie::cuda {

size_t matrix_bytes(int64_t out_features, int64_t in_features, DType dtype) {
  return static_cast<size_t>(out_features) * static_cast<size_t>(in_features) * dtype_bytes(dtype);
}

size_t value_bytes(int64_t out_features, int64_t in_features, const ops::PackSpec& spec) {
  return SlabArena::piece_bytes(kernels::quantized_value_bytes(
      out_features, in_features, kernel_format(spec.format), row_order(spec)));
}

size_t packed_bytes(int64_t out_features, int64_t in_features, const ops::PackSpec& spec) {
  if (!spec.format.is_quantized()) {
    return SlabArena::piece_bytes(matrix_bytes(out_features, in_features, spec.format.dtype()));
  }
  return value_bytes(out_features, in_features, spec) +
         SlabArena::piece_bytes(kernels::quantized_scale_bytes(
             out_features, in_features, kernel_format(spec.format), row_order(spec)));
}

}  // namespace ernie::cuda
