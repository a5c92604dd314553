#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/common/element_type.h"
#include "kernels/moe/moe_sizes.h"

namespace ernie::kernels {

constexpr int kMaxRouterExperts = 128;  // of one modality
constexpr int kMaxTopK = 8;

// Router of one MoE layer, both modalities in one launch: logits = x * W^T over the experts of the
// token's own modality, softmax, the top_k of (probability + bias), a smaller id winning a tie;
// weights = chosen probabilities / max(their sum, norm_min), rounded to T. All in float32: W and a
// float32 x are multiplied as three bfloat16 parts each, which together hold all 24 bits.
//
// hidden is cut into 64 slices, and what is added in which order depends on hidden alone, so a
// token's result has the same bits in every batch.
struct MoeRouterParams {
  ElementType type = ElementType::kBF16;  // T
  const void* x = nullptr;                // [tokens, hidden] T
  const uint8_t* is_vision = nullptr;     // [tokens]; read only when any_vision
  bool any_vision = false;                // false: no vision work is launched
  const float* router[2] = {};            // text, vision: [experts, hidden]
  const float* bias[2] = {};              // [experts], or null
  int experts[2] = {};                    // each >= top_k where its modality occurs
  int tokens = 0;
  int hidden = 0;  // a multiple of 8
  int top_k = 0;
  float norm_min = 1e-12f;
  float* logits = nullptr;          // scratch [tokens, max(experts)]
  uint32_t* arrivals = nullptr;     // scratch [ceil(tokens / kRouterTokenTile)]: zeros before the
                                    // first launch; every launch leaves zeros
  int32_t* expert_ids = nullptr;    // out [tokens, top_k]; vision ids count on from experts[0]
  float* expert_weights = nullptr;  // out [tokens, top_k]
};

// cudaErrorInvalidValue when a shape is outside the limits above.
cudaError_t launch_moe_router(const MoeRouterParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
