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
                     of_all(history), of_all((shape.vocab + 31) / 32))
              .bytes;
}

size_t attention_bytes(const AttentionShape& s, const ops::KvLayout& kv) {
  return kernels::paged_attention_workspace_bytes(s.seqs, s.tokens, s.q_heads, kv.head_dim,
                                                  s.max_blocks * kv.block_size);
}

size_t expanded_bytes(const AttentionShape& s, const ops::KvLayout& kv) {
  const bool expands = is_quantized(kv.type) && s.has_prompts &&
                       kernels::attention_on_tensor_cores(element_type(s.activation), kv.head_dim);
  return expands ? kernels::expanded_cache_bytes(s.seqs, s.max_blocks, kv.kv_heads, kv.head_dim,
                                                 kv.block_size)
                 : 0;
}

WorkSizes::WorkSizes(const ops::WorkShape& s) {
  const AttentionShape attention_shape{.activation = s.activation,
                                       .seqs = s.max_seqs,
                                       .tokens = s.max_tokens,
                                       .q_heads = s.q_heads,
                                       .max_blocks = s.max_context / s.kv.block_size};
  attention = attention_bytes(attention_shape, s.kv);
  scratch = expanded_bytes(attention_shape, s.kv);
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
  scratch = std::max(scratch, kernels::MoeExpertsWorkspace(shape).bytes);
}

}  // namespace ernie::cuda
