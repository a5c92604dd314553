#include <algorithm>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device_graph.h"
#include "kernels/attention/paged_attention.h"
#include "kernels/moe/experts.h"
#include "kernels/moe/router.h"

namespace ernie::cuda {
namespace {

constexpr size_t kMostSegments = 3;  // bounds of a media unit's frames

struct WorkSizes {
  size_t attention = 0;
  size_t router_logits = 0;
  size_t router_arrivals = 0;
  size_t experts = 0;
};

WorkSizes sizes_of(const ops::WorkShape& s) {
  WorkSizes sizes;
  sizes.attention = kernels::paged_attention_workspace_bytes(s.max_seqs, s.max_tokens, s.q_heads,
                                                             s.head_dim, s.max_context);
  if (s.top_k == 0) return sizes;
  const auto tokens = static_cast<size_t>(s.max_tokens);
  sizes.router_logits =
      tokens * static_cast<size_t>(std::max(s.text_experts, s.vision_experts)) * sizeof(float);
  sizes.router_arrivals =
      (tokens + kernels::kRouterTokenTile - 1) / kernels::kRouterTokenTile * sizeof(uint32_t);
  sizes.experts = kernels::moe_experts_workspace_bytes({.type = element_type(s.dtype),
                                                        .tokens = s.max_tokens,
                                                        .hidden = s.hidden,
                                                        .top_k = s.top_k,
                                                        .text_experts = s.text_experts,
                                                        .vision_experts = s.vision_experts,
                                                        .text_width = s.text_width,
                                                        .vision_width = s.vision_width,
                                                        .shared_width = s.shared_width});
  return sizes;
}

}  // namespace

size_t CudaBackend::work_bytes(const ops::WorkShape& shape) const {
  const WorkSizes sizes = sizes_of(shape);
  return sizes.attention + sizes.router_logits + sizes.router_arrivals + sizes.experts +
         draw_bytes(shape);
}

void CudaBackend::reserve_work(const ops::WorkShape& shape) {
  const WorkSizes sizes = sizes_of(shape);
  attention_.get(sizes.attention);
  router_logits_.get(sizes.router_logits);
  router_arrivals_.get(sizes.router_arrivals);
  experts_.get(sizes.experts);
  segments_.get(kMostSegments * sizeof(int32_t));
  reserve_draws(shape);
  frozen_ = true;
}

std::unique_ptr<ops::Graph> CudaBackend::capture(const std::function<void()>& issue) {
  return std::make_unique<DeviceGraph>(stream(), issue);
}

}  // namespace ernie::cuda
