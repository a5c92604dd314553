#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/attention/paged_attention.h"

// The kernels behind launch_paged_attention(), one translation unit each. Shapes are checked by it.
namespace ernie::kernels::attention {

// Query heads of one key-value head that one block handles: the rows of a tensor-core tile.
constexpr int kHeadsPerItem = 16;

inline int query_heads_per_kv_head(const PagedAttentionParams& p) { return p.q_heads / p.kv_heads; }

// Parts of a query-head group that are handled by blocks of their own.
inline int items_per_split(const PagedAttentionParams& p) {
  const int group = query_heads_per_kv_head(p);
  return p.kv_heads * ((group + kHeadsPerItem - 1) / kHeadsPerItem);
}

// The workspace: counters, then float partial[...], or the plan of the prefill kernel for sm_90a.
// They are never used by the same kernel, and kernels of one stream do not overlap in their use.
inline void* behind_counters(const PagedAttentionParams& p) {
  return static_cast<char*>(p.workspace) + kAttentionCounterBytes;
}

// Room for contexts of a quantised cache in bfloat16.
struct ExpandedCache {
  __nv_bfloat16* keys;    // [pages, kv_heads, block_size, head_dim]
  __nv_bfloat16* values;  // the same
  int32_t* block_tables;  // [num_seqs, max_blocks]
};

// Expands the cells of all sequences with more than one query, which take `pages` together, and
// fills the tables of these sequences.
cudaError_t launch_expand(const PagedAttentionParams& p, const ExpandedCache& to, int pages,
                          cudaStream_t stream);
// Sequences of one query; bfloat16, head_dim 64 or 128.
cudaError_t launch_decode(const PagedAttentionParams& p, cudaStream_t stream);
// Sequences of more queries over a plain cache; bfloat16, head_dim 64 or 128.
cudaError_t launch_prefill(const PagedAttentionParams& p, cudaStream_t stream);
// The same on sm_90a, by FlashInfer's kernel. Present when its headers were there at build time.
bool has_prefill_sm90();
cudaError_t launch_prefill_sm90(const PagedAttentionParams& p, cudaStream_t stream);
// Any sequences, float32 sums in the order of the keys.
cudaError_t launch_simple(const PagedAttentionParams& p, cudaStream_t stream);

}  // namespace ernie::kernels::attention
