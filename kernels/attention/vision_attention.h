#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/common/element_type.h"

// Full attention inside each segment (the patches of one picture), scale head_dim^-0.5. The bits of
// a segment do not depend on the other segments.
namespace ernie::kernels {

struct VisionAttentionParams {
  ElementType type = ElementType::kBF16;  // T
  const void* qkv =
      nullptr;          // [patches, 3 * heads * head_dim] T: rotated q heads, k heads, v heads
  void* out = nullptr;  // [patches, heads * head_dim] T
  const int32_t* segment_start = nullptr;  // device, [segments + 1], rising
  int segments = 0;                        // at most 65535
  int max_segment = 0;                     // length of the longest, known to the host
  int heads = 0;
  int head_dim = 0;  // a multiple of 8, at most 256; tensor cores for bfloat16 up to 128
};

// cudaErrorInvalidValue for a shape outside the comments above or an unaligned pointer.
cudaError_t launch_vision_attention(const VisionAttentionParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
