#pragma once

#include <cstddef>

#include "kernels/sampling/sampling_rows.h"
#include "ops/sampling.h"
#include "ops/sizing.h"

// Sizes of the memory that operators work in; pure functions of the largest step and of the kernels
// that are used, those for sm_80 or for sm_90a (`arch` 80 or 90).
namespace ernie::cuda {

constexpr ops::SamplerLimits kSamplerLimits{
    .top_logprobs = kernels::kMaxTopLogprobs, .logit_biases = 1024, .banned_tokens = 4096};

inline size_t row_bytes(int rows) {
  return static_cast<size_t>(rows) * sizeof(kernels::SamplingRow);
}
inline size_t result_bytes(int rows) {
  return static_cast<size_t>(rows) * sizeof(kernels::SampledRow);
}

// Lists of all kinds share one buffer, whose start a captured graph may hold; a list begins at a
// multiple of its element.
struct ListMemory {
  ListMemory(size_t bias_count, size_t banned_count, size_t penalty_count, size_t mask_words) {
    static_assert(sizeof(kernels::TokenBias) == 8 && sizeof(kernels::TokenCount) == 8);
    penalties = bias_count * sizeof(kernels::TokenBias);
    banned = penalties + penalty_count * sizeof(kernels::TokenCount);
    masks = banned + banned_count * sizeof(int32_t);
    bytes = masks + mask_words * sizeof(uint32_t);
  }
  size_t bytes = 0;
  size_t biases = 0, banned = 0, penalties = 0, masks = 0;  // where each kind begins, in bytes
};

struct DrawSizes {
  DrawSizes(const ops::WorkShape& shape, int arch);
  size_t rows, results, lists, workspace;
};

struct AttentionShape {
  DType activation = DType::kBF16;
  int seqs = 0;
  int tokens = 0;
  int q_heads = 0;
  int64_t max_blocks = 0;
  bool has_prompts = true;  // sequences of more than one query
};
// The workspace of paged attention, and the memory for its expanded cache, if any.
size_t attention_bytes(const AttentionShape& shape, const ops::KvLayout& kv);
size_t expanded_bytes(const AttentionShape& shape, const ops::KvLayout& kv);

struct WorkSizes {
  explicit WorkSizes(const ops::WorkShape& shape);
  size_t attention = 0;
  size_t router_logits = 0;
  size_t router_arrivals = 0;
  size_t scratch = 0;  // of experts, or of an expanded cache
};

}  // namespace ernie::cuda
