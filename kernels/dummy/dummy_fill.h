#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/common/element_type.h"

namespace ernie::kernels {

// Values made from their numbers: element (r, c) has number n = first + r * row_stride + c >= 0 and
// the value mean + deviation * bell(n), product and sum rounded one after the other. With
// word = mix(key + (n / 2) * 0x9e3779b97f4a7c15), mix being the finaliser of SplitMix64, bell(n) is
// the sum of the four bytes of the word's lower half (upper half for odd n), less 510, divided by
// 147.80054.
struct DummyFillParams {
  ElementType type = ElementType::kBF16;
  void* out = nullptr;  // [rows, cols]
  uint64_t key = 0;
  int64_t first = 0;
  int64_t row_stride = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  float mean = 0;
  float deviation = 1;
};
cudaError_t launch_dummy_fill(const DummyFillParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
