#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/common/element_type.h"

// Rotary embedding of the vision tower: element j of the first half of a head turns with element j
// of the second half. Of the head_dim / 2 angles the first half is row * f, the second column * f,
// with f = theta^(-2 (j mod head_dim / 4) / (head_dim / 2)).
namespace ernie::kernels {

struct VisionRopeParams {
  ElementType type = ElementType::kBF16;  // T
  // [patches, 3 * heads * head_dim] T: q heads, k heads, v heads. q and k are rotated in place.
  void* qkv = nullptr;
  const int32_t* positions = nullptr;  // [patches, 2] (row, column)
  int patches = 0;
  int heads = 0;
  int head_dim = 0;  // a multiple of 4, at most 256
  float theta = 10000.0f;
};

// cudaErrorInvalidValue for a shape outside the comments above or an unaligned pointer.
cudaError_t launch_vision_rope(const VisionRopeParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
