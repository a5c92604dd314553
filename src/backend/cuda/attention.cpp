#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda_sizing/work_sizes.h"
#include "kernels/attention/paged_attention.h"
#include "kernels/attention/vision_attention.h"
#include "kernels/rope/rope_kv_write.h"
#include "kernels/rope/vision_rope.h"

namespace ernie::cuda {
void CudaBackend::do_rope_kv_write(const ops::RopeKvWriteArgs& a) {
  check(kernels::launch_rope_kv_write({.type = element_type(a.qkv.dtype),
                                       .qkv = a.qkv.data,
                                       .positions = a.positions.as<const int32_t>(),
                                       .slots = a.slots.as<const int32_t>(),
                                       .inv_freq = host_copies_.get(a.rope->inv_freq),
                                       .axis = host_copies_.get(a.rope->axis),
                                       .cache = cache_type(a.kv.layout.type),
                                       .keys = a.kv.keys.data,
                                       .values = a.kv.values.data,
                                       .scales = a.kv.scales.data,
                                       .tokens = static_cast<int>(a.qkv.rows()),
                                       .q_heads = a.q_heads,
                                       .kv_heads = a.kv.layout.kv_heads,
                                       .head_dim = a.kv.layout.head_dim,
                                       .block_size = a.kv.layout.block_size},
                                      stream()),
        "launch of rope_kv_write");
}

void CudaBackend::do_paged_attention(const ops::PagedAttentionArgs& a) {
  const ops::AttentionBatch& batch = *a.batch;
  const int tokens = static_cast<int>(a.qkv.rows());
  const int max_blocks = static_cast<int>(batch.block_tables.cols());
  const AttentionShape shape{.activation = a.qkv.dtype,
                             .seqs = batch.num_seqs,
                             .tokens = tokens,
                             .q_heads = a.q_heads,
                             .max_blocks = max_blocks,
                             .has_prompts = batch.max_query_len > 1};
  void* workspace = attention_.get(attention_bytes(shape, a.kv.layout));
  const size_t expanded = expanded_bytes(shape, a.kv.layout);
  check(
      kernels::launch_paged_attention({.type = element_type(a.qkv.dtype),
                                       .qkv = a.qkv.data,
                                       .out = a.out.data,
                                       .cache = cache_type(a.kv.layout.type),
                                       .keys = a.kv.keys.data,
                                       .values = a.kv.values.data,
                                       .scales = a.kv.scales.data,
                                       .query_start = batch.query_start.as<const int32_t>(),
                                       .context_len = batch.context_len.as<const int32_t>(),
                                       .block_tables = batch.block_tables.as<const int32_t>(),
                                       .host_query_start = batch.host_query_start.data(),
                                       .host_context_len = batch.host_context_len.data(),
                                       .max_blocks = max_blocks,
                                       .num_seqs = batch.num_seqs,
                                       .max_query_len = batch.max_query_len,
                                       .tokens = tokens,
                                       .q_heads = a.q_heads,
                                       .kv_heads = a.kv.layout.kv_heads,
                                       .head_dim = a.kv.layout.head_dim,
                                       .block_size = a.kv.layout.block_size,
                                       .workspace = workspace,
                                       .workspace_bytes = attention_.bytes(),
                                       .expanded = expanded > 0 ? scratch_.get(expanded) : nullptr,
                                       .expanded_bytes = expanded > 0 ? scratch_.bytes() : 0},
                                      stream()),
      "launch of paged_attention");
}

void CudaBackend::do_vision_rope(const ops::VisionRopeArgs& a) {
  check(kernels::launch_vision_rope({.type = element_type(a.qkv.dtype),
                                     .qkv = a.qkv.data,
                                     .positions = a.positions.as<const int32_t>(),
                                     .patches = static_cast<int>(a.qkv.rows()),
                                     .heads = a.heads,
                                     .head_dim = a.head_dim,
                                     .theta = a.theta},
                                    stream()),
        "launch of vision_rope");
}

void CudaBackend::do_vision_attention(const ops::VisionAttentionArgs& a) {
  int longest = 0;
  for (size_t s = 1; s < a.segment_start.size(); ++s) {
    longest = std::max(longest, a.segment_start[s] - a.segment_start[s - 1]);
  }
  auto* segments = segments_.get_array<int32_t>(static_cast<int64_t>(a.segment_start.size()));
  upload(segments, a.segment_start.data(), a.segment_start.size_bytes());
  check(kernels::launch_vision_attention({.type = element_type(a.qkv.dtype),
                                          .qkv = a.qkv.data,
                                          .out = a.out.data,
                                          .segment_start = segments,
                                          .segments = static_cast<int>(a.segment_start.size()) - 1,
                                          .max_segment = longest,
                                          .heads = a.heads,
                                          .head_dim = a.head_dim},
                                         stream()),
        "launch of vision_attention");
}

}  // namespace ernie::cuda
