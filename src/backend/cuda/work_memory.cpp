#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device_graph.h"
#include "backend/cuda/work_sizes.h"
#include "backend/cuda_factory.h"
#include "kernels/attention/paged_attention.h"
#include "kernels/moe/experts.h"
#include "kernels/moe/router.h"

namespace ernie::cuda {
namespace {

constexpr size_t kMostSegments = 3;  // bounds of a media unit's frames

class CudaSizing final : public ops::Sizing {
 public:
  size_t packed_bytes(int64_t out_features, int64_t in_features,
                      const ops::PackSpec& spec) const override {
    return DeviceWeight::bytes_for(out_features, in_features, spec);
  }
  size_t work_bytes(const ops::WorkShape& shape) const override {
    const WorkSizes work(shape);
    const DrawSizes draw(shape);
    return work.attention + work.router_logits + work.router_arrivals + work.experts + draw.rows +
           draw.results + draw.lists + draw.workspace;
  }
  ops::SamplerLimits sampler_limits() const override { return kSamplerLimits; }
};

}  // namespace

DrawSizes::DrawSizes(const ops::WorkShape& shape)
    : rows(row_bytes(shape.max_seqs)),
      results(result_bytes(shape.max_seqs)),
      workspace(kernels::sampling_workspace_bytes(shape.max_seqs, shape.vocab)) {
  const auto of_all = [&](int64_t of_one) {
    return static_cast<size_t>(shape.max_seqs) * static_cast<size_t>(of_one);
  };
  const int history = std::min(shape.max_context, shape.vocab);  // distinct tokens
  lists = ListMemory(of_all(kSamplerLimits.logit_biases), of_all(kSamplerLimits.banned_tokens),
                     of_all(history))
              .bytes;
}

WorkSizes::WorkSizes(const ops::WorkShape& s)
    : attention(kernels::paged_attention_workspace_bytes(s.max_seqs, s.max_tokens, s.q_heads,
                                                         s.head_dim, s.max_context)) {
  if (s.top_k == 0) return;
  const auto tokens = static_cast<size_t>(s.max_tokens);
  const auto group = [&](size_t g) {
    return g < s.expert_groups.size() ? s.expert_groups[g] : ExpertGroupShape{};
  };
  router_logits =
      tokens * static_cast<size_t>(std::max(group(0).experts, group(1).experts)) * sizeof(float);
  router_arrivals =
      (tokens + kernels::kRouterTokenTile - 1) / kernels::kRouterTokenTile * sizeof(uint32_t);
  experts =
      kernels::moe_experts_workspace_bytes({.type = element_type(s.activation),
                                            .tokens = s.max_tokens,
                                            .hidden = s.hidden,
                                            .top_k = s.top_k,
                                            .text_experts = group(0).experts,
                                            .vision_experts = group(1).experts,
                                            .text_width = static_cast<int>(group(0).width),
                                            .vision_width = static_cast<int>(group(1).width),
                                            .shared_width = static_cast<int>(s.shared_width)});
}

const ops::Sizing& cuda_sizing() {
  static const CudaSizing sizing;
  return sizing;
}

const ops::Sizing& CudaBackend::sizing() const { return cuda_sizing(); }

void CudaBackend::reserve_work(const ops::WorkShape& shape) {
  const WorkSizes sizes(shape);
  attention_.get(sizes.attention);
  router_logits_.get(sizes.router_logits);
  router_arrivals_.get(sizes.router_arrivals);
  experts_.get(sizes.experts);
  segments_.get(kMostSegments * sizeof(int32_t));
  reserve_draws(shape);
  packer_.finish();
  frozen_ = true;
}

std::unique_ptr<ops::Graph> CudaBackend::capture(const std::function<void()>& issue) {
  return std::make_unique<DeviceGraph>(stream(), issue);
}

}  // namespace ernie::cuda
