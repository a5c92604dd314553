#include <algorithm>
#include <cmath>

#include "kernels/attention/paged_attention.h"
#include "kernels/attention/paged_kernels.h"
#include "kernels/attention/simple_attention.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"

namespace ernie::kernels {
namespace attention {
namespace {

constexpr int kSimpleWarps = 4;

template <class T>
__global__ void __launch_bounds__(kSimpleWarps * 32)
    simple_kernel(const __grid_constant__ PagedAttentionParams p, float scale) {
  __shared__ float queries[kSimpleWarps][kMaxSimpleHeadDim];
  const int row = blockIdx.x;
  const int head = blockIdx.y * kSimpleWarps + threadIdx.x / 32;
  let_next_kernel_start();
  wait_for_previous_kernel();
  if (head >= p.q_heads || row >= p.query_start[p.num_seqs]) return;

  int low = 0;
  int high = p.num_seqs;  // query_start[low] <= row < query_start[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (p.query_start[middle] <= row ? low : high) = middle;
  }
  const int visible = p.context_len[low] - (p.query_start[low + 1] - 1 - row);
  const int32_t* table = p.block_tables + static_cast<int64_t>(low) * p.max_blocks;
  const int kv_head = head / (p.q_heads / p.kv_heads);
  const int64_t heads_of_row = p.q_heads + 2 * p.kv_heads;
  attend_simply(
      static_cast<const T*>(p.qkv) + (row * heads_of_row + head) * p.head_dim,
      queries[threadIdx.x / 32], p.head_dim, visible, scale, static_cast<const T*>(p.keys),
      static_cast<const T*>(p.values),
      [&](int key) {
        const int64_t block = table[key / p.block_size];
        return ((block * p.kv_heads + kv_head) * p.block_size + key % p.block_size) * p.head_dim;
      },
      static_cast<T*>(p.out) + (static_cast<int64_t>(row) * p.q_heads + head) * p.head_dim);
}

bool on_tensor_cores(ElementType type, int head_dim) {
  return type == ElementType::kBF16 && (head_dim == 64 || head_dim == 128);
}

}  // namespace

cudaError_t launch_simple(const PagedAttentionParams& p, cudaStream_t stream) {
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.head_dim)));
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tokens),
                                       static_cast<unsigned>(ceil_div(p.q_heads, kSimpleWarps))),
                          .block = dim3(kSimpleWarps * 32),
                          .overlap_previous = true};
  return p.type == ElementType::kF32
             ? launch(simple_kernel<float>, shape, stream, p, scale)
             : launch(simple_kernel<__nv_bfloat16>, shape, stream, p, scale);
}

}  // namespace attention

cudaError_t launch_paged_attention(const PagedAttentionParams& p, cudaStream_t stream) {
  if (p.tokens == 0 || p.num_seqs == 0) return cudaSuccess;
  if (p.tokens < 0 || p.num_seqs < 0 || p.num_seqs > kMaxAttentionSequences ||
      p.max_query_len < 1 || p.max_blocks < 1 || p.block_size < 1 || p.kv_heads < 1 ||
      p.q_heads < 1 || p.q_heads % p.kv_heads != 0 || p.head_dim < 8 || p.head_dim % 8 != 0 ||
      p.head_dim > attention::kMaxSimpleHeadDim || !is_aligned16(p.qkv) || !is_aligned16(p.out) ||
      !is_aligned16(p.keys) || !is_aligned16(p.values)) {
    return cudaErrorInvalidValue;
  }
  if (!attention::on_tensor_cores(p.type, p.head_dim)) return attention::launch_simple(p, stream);
  if (!is_aligned16(p.workspace) || p.workspace == nullptr ||
      p.workspace_bytes < paged_attention_workspace_bytes(p.num_seqs, p.tokens, p.q_heads,
                                                          p.head_dim,
                                                          int64_t{p.max_blocks} * p.block_size) ||
      size_t{4} * static_cast<size_t>(p.num_seqs) *
              static_cast<size_t>(attention::items_per_split(p)) >
          kAttentionCounterBytes) {
    return cudaErrorInvalidValue;
  }
  if (p.max_query_len == 1) return attention::launch_decode(p, stream);
  const cudaError_t error = arch() >= 90 && attention::has_prefill_sm90()
                                ? attention::launch_prefill_sm90(p, stream)
                                : attention::launch_prefill(p, stream);
  // With as many rows as the longest sequences can have, none has a single query.
  const bool all_long = int64_t{p.max_query_len} * p.num_seqs == p.tokens;
  if (error != cudaSuccess || all_long) return error;
  return attention::launch_decode(p, stream);
}

}  // namespace ernie::kernels
