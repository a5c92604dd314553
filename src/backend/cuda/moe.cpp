#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device_experts.h"
#include "base/check.h"
#include "kernels/moe/experts.h"
#include "kernels/moe/router.h"

namespace ernie::cuda {
void CudaBackend::do_moe_route(const ops::MoeRouteArgs& a) {
  const int tokens = static_cast<int>(a.x.rows());
  kernels::MoeRouterParams params{.type = element_type(a.x.dtype),
                                  .x = a.x.data,
                                  .is_vision = a.token_group.as<const uint8_t>(),
                                  .any_vision = !a.first_group_only,
                                  .tokens = tokens,
                                  .hidden = static_cast<int>(a.x.cols()),
                                  .top_k = a.top_k,
                                  .norm_min = a.norm_min,
                                  .expert_ids = a.expert_ids.as<int32_t>(),
                                  .expert_weights = a.expert_weights.as<float>()};
  int most_experts = 0;
  for (size_t g = 0; g < a.groups.size(); ++g) {
    params.router[g] = a.groups[g].weight.as<const float>();
    params.bias[g] = a.groups[g].bias.as<const float>();
    params.experts[g] = static_cast<int>(a.groups[g].weight.rows());
    most_experts = std::max(most_experts, params.experts[g]);
  }
  params.logits = static_cast<float*>(
      router_logits_.get(kernels::moe_router_logits_bytes(tokens, most_experts)));
  params.arrivals =
      static_cast<uint32_t*>(router_arrivals_.get(kernels::moe_router_arrivals_bytes(tokens)));
  check(kernels::launch_moe_router(params, stream()), "launch of moe_route");
}

void CudaBackend::do_moe_experts(const ops::MoeExpertsArgs& a) {
  const DeviceExperts& experts = device_experts(*a.experts);
  const ExpertGroupShape first = experts.groups()[0];
  const ExpertGroupShape second =
      experts.groups().size() > 1 ? experts.groups()[1] : ExpertGroupShape{};
  kernels::MoeExpertsParams params{
      .type = element_type(a.x.dtype),
      .x = a.x.data,
      .expert_ids = a.expert_ids.as<const int32_t>(),
      .expert_weights = a.expert_weights.as<const float>(),
      .tokens = static_cast<int>(a.x.rows()),
      .hidden = static_cast<int>(a.x.cols()),
      .top_k = static_cast<int>(a.expert_ids.cols()),
      .text_experts = first.experts,
      .vision_experts = second.experts,
      .text_width = static_cast<int>(first.width),
      .vision_width = static_cast<int>(second.width),
      .shared_width = static_cast<int>(experts.shared_width()),
      .text_format = experts.format(0),
      .vision_format = experts.format(1),
      .shared_format = experts.shared_format(),
      .gate_up = experts.gate_up(),
      .down = experts.down(),
      .gate_up_scales = experts.gate_up_scales(),
      .down_scales = experts.down_scales(),
      .weight_maps = static_cast<const kernels::MoeWeightMap*>(experts.maps()),
      .out = a.out.data,
      .out_type = element_type(a.out.dtype)};
  params.workspace = scratch_.get(kernels::moe_experts_workspace_bytes(params));
  check(kernels::launch_moe_experts(params, stream()), "launch of moe_experts");
}

}  // namespace ernie::cuda
