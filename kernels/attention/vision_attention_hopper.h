#pragma once

#include "kernels/attention/vision_attention.h"

namespace ernie::kernels::attention {

// launch_vision_attention() for bfloat16 heads of more than 64 and up to 80, on sm_90a.
// scale_log2: head_dim^-0.5 * log2(e).
cudaError_t launch_vision_hopper(const VisionAttentionParams& params, float scale_log2,
                                 cudaStream_t stream);

}  // namespace ernie::kernels::attention
