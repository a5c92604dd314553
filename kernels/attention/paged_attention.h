#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention_sizes.h"
#include "kernels/common/cache_type.h"
#include "kernels/common/element_type.h"

// Causal grouped-query attention of new tokens over the paged cache, scale head_dim^-0.5.
//
// A sequence with one query takes the decode kernel and one with more the prefill kernel, also when
// both kinds are in one step, so the bits of a sequence's rows do not depend on the other
// sequences. Nor do they depend on the block size, on where a prompt was cut into chunks of at
// least two tokens, or on the addresses of blocks.
//
// Over a quantised cache the decode kernel and the kernel for other shapes than the tensor cores'
// read cells: the former multiplies scores and weights by scales in float32, the latter rounds
// cell * scale to T. For the prefill kernel contexts are expanded to T first, as many at a time as
// the workspace holds.
namespace ernie::kernels {

constexpr int kMaxAttentionSequences = 1024;

// The lengths, the tables, and keys and values before a sequence's last query are read before the
// kernel that was launched just before this one has ended.
struct PagedAttentionParams {
  ElementType type = ElementType::kBF16;  // T
  // [tokens, (q_heads + 2 kv_heads) * head_dim] T; only the rotated q heads are read.
  const void* qkv = nullptr;
  void* out = nullptr;  // [tokens, q_heads * head_dim] T
  CacheType cache = CacheType::kPlain;
  const void* keys = nullptr;    // [num_blocks, kv_heads, block_size, head_dim] T or cells
  const void* values = nullptr;  // the same
  const void* scales = nullptr;  // of cells: [num_blocks, kv_heads, block_size, 2] bfloat16, of the
                                 // key and of the value
  // Of sequence s: its queries are rows query_start[s] to query_start[s + 1]; context_len[s] counts
  // the keys that its last query sees, itself included. A row that pads a captured graph is a
  // sequence of one query and context 0; it gets zeros. Rows at or behind query_start[num_seqs] are
  // not written.
  const int32_t* query_start = nullptr;   // [num_seqs + 1]
  const int32_t* context_len = nullptr;   // [num_seqs]
  const int32_t* block_tables = nullptr;  // [num_seqs, max_blocks]
  // The first two on the host, read by the call: where the cache is quantised and max_query_len is
  // above 1.
  const int32_t* host_query_start = nullptr;
  const int32_t* host_context_len = nullptr;
  int max_blocks = 0;
  int num_seqs = 0;  // at most kMaxAttentionSequences
  int max_query_len = 0;
  int tokens = 0;
  int q_heads = 0;  // a multiple of kv_heads
  int kv_heads = 0;
  int head_dim = 0;  // a multiple of 8, at most 256; tensor cores for bfloat16 of 64 and 128
  int block_size = 0;
  // At least paged_attention_workspace_bytes(), aligned to 256 bytes. The first
  // kAttentionCounterBytes must be zero before the first launch; every launch leaves them zero.
  // Launches that may run at the same time need workspaces of their own.
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  // At least expanded_cache_bytes() where that says so, aligned to 256 bytes. Nothing has to stay
  // in it from launch to launch.
  void* expanded = nullptr;
  size_t expanded_bytes = 0;
};

// cudaErrorInvalidValue for a shape outside the comments above, an unaligned pointer or too small a
// workspace.
cudaError_t launch_paged_attention(const PagedAttentionParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
