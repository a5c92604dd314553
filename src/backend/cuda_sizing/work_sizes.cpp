#include "backend/cuda_sizing/work_sizes.h"

#include <algorithm>

#include "backend/cuda_sizing/kernel_types.h"
#include "kernels/attention/attention_sizes.h"
#include "kernels/moe/moe_sizes.h"

namespace ernie::cuda {

DrawSizes::DrawSizes(const ops::WorkShape& shape, int arch)
    : rows(row_bytes(shape.max_seqs)),
      results(result_bytes(shape.max_seqs)),
      workspace(kernels::sampling_workspace_bytes(shape.max_seqs, shape.vocab, arch)) {
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
  kernels::MoeExpertsShape shape{.type = element_type(s.activation),
                                 .tokens = s.max_tokens,
                                 .hidden = s.hidden,
                                 .top_k = s.top_k,
                                 .widest = static_cast<int>(s.shared_width),
                                 .has_shared = s.shared_width > 0};
  int most_experts = 0;
  for (const ExpertGroupShape& group : s.expert_groups) {
    shape.experts += group.experts;
    shape.widest = std::max(shape.widest, static_cast<int>(group.width));
    most_experts = std::max(most_experts, group.experts);
  }
  router_logits = kernels::moe_router_logits_bytes(s.max_tokens, most_experts);
  router_arrivals = kernels::moe_router_arrivals_bytes(s.max_tokens);
  experts = kernels::MoeExpertsWorkspace(shape).bytes;
}

}  // namespace ernie::cuda
