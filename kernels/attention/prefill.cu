#include <cmath>

#include "kernels/attention/flash_tile.cuh"
#include "kernels/attention/paged_kernels.h"
#include "kernels/attention/sequence_scan.cuh"
#include "kernels/common/launch.cuh"

// Attention of sequences with more than one query, on any device from sm_80. The query heads of one
// key-value head are packed into the rows of a tile: row r of a sequence is query r / group, head
// r % group of the group, so that short chunks fill a tile and keys are read once for a group.
namespace ernie::kernels::attention {
namespace {

template <int kDim>
using Shape = FlashShape<kDim, 4, 2, 64>;

struct PagedSource {
  const PagedAttentionParams& p;
  unsigned (*rows_of_cache)[64];  // [2][64] in shared memory, by tile % 2
  const int32_t* table;
  const __nv_bfloat16* key_base;
  const __nv_bfloat16* value_base;
  int head_dim;
  int kv_head;
  int group;
  int first_token;  // row of qkv of the sequence's first query
  int first_row;    // of the sequence's packed rows
  int rows;
  int before;  // keys in front of the sequence's first query
  int keys;
  int fully_visible;
  unsigned looked_up;

  __device__ int query_of(int row) const { return (first_row + row) / group; }
  __device__ int head_of(int row) const { return kv_head * group + (first_row + row) % group; }
  __device__ int last_key(int row) const { return before + query_of(row); }
  __device__ const __nv_bfloat16* query(int row) const {
    const int64_t heads = p.q_heads + 2 * p.kv_heads;
    return static_cast<const __nv_bfloat16*>(p.qkv) +
           ((first_token + query_of(row)) * heads + head_of(row)) * head_dim;
  }
  __device__ __nv_bfloat16* out(int row) const {
    return static_cast<__nv_bfloat16*>(p.out) +
           (static_cast<int64_t>(first_token + query_of(row)) * p.q_heads + head_of(row)) *
               head_dim;
  }
  __device__ int64_t key_offset(int tile, int key) const {
    return static_cast<int64_t>(rows_of_cache[tile % 2][key]) * head_dim;
  }
  __device__ void begin_lookup(int tile) {
    const int key = tile * 64 + threadIdx.x;
    if (threadIdx.x < 64 && key < keys) {
      const unsigned block = static_cast<unsigned>(table[key / p.block_size]);
      looked_up = (block * p.kv_heads + kv_head) * p.block_size + key % p.block_size;
    }
  }
  __device__ void end_lookup(int tile) {
    if (threadIdx.x < 64) rows_of_cache[tile % 2][threadIdx.x] = looked_up;
  }
};

template <int kDim>
__global__ void __launch_bounds__(Shape<kDim>::kThreads)
    prefill_kernel(const __grid_constant__ PagedAttentionParams p, float scale_log2) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ int first[kMaxAttentionSequences + 1];
  __shared__ unsigned rows_of_cache[2][64];
  constexpr int kRows = Shape<kDim>::kRows;
  const int group = p.q_heads / p.kv_heads;
  let_next_kernel_start();
  wait_for_previous_kernel();
  scan_sequences(p.num_seqs, first, [&](int s) {
    const int queries = p.query_start[s + 1] - p.query_start[s];
    return queries > 1 ? (queries * group + kRows - 1) / kRows : 0;
  });
  // The last tiles see the most keys; they go first.
  const int tile = first[p.num_seqs] - 1 - static_cast<int>(blockIdx.x);
  if (tile < 0) return;
  const int s = find_sequence(first, p.num_seqs, tile);
  const int queries = p.query_start[s + 1] - p.query_start[s];

  PagedSource source{p};
  source.rows_of_cache = rows_of_cache;
  source.table = p.block_tables + static_cast<int64_t>(s) * p.max_blocks;
  source.key_base = static_cast<const __nv_bfloat16*>(p.keys);
  source.value_base = static_cast<const __nv_bfloat16*>(p.values);
  source.head_dim = kDim;
  source.kv_head = blockIdx.y;
  source.group = group;
  source.first_token = p.query_start[s];
  source.first_row = (tile - first[s]) * kRows;
  source.rows = min(kRows, queries * group - source.first_row);
  source.before = p.context_len[s] - queries;
  source.keys = source.last_key(source.rows - 1) + 1;
  source.fully_visible = source.last_key(0) + 1;
  source.looked_up = 0;
  flash_attention<Shape<kDim>>(source, shared, scale_log2);
}

template <int kDim>
cudaError_t launch_dim(const PagedAttentionParams& p, cudaStream_t stream) {
  const cudaError_t allowed = allow_shared_memory(prefill_kernel<kDim>, Shape<kDim>::kSharedBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t rows = int64_t{p.tokens} * query_heads_per_kv_head(p);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(rows / Shape<kDim>::kRows + p.num_seqs),
                   static_cast<unsigned>(p.kv_heads)),
      .block = dim3(Shape<kDim>::kThreads),
      .shared_bytes = Shape<kDim>::kSharedBytes,
      .overlap_previous = true};
  const float scale_log2 = static_cast<float>(std::sqrt(1.0 / p.head_dim) * 1.4426950408889634);
  return launch(prefill_kernel<kDim>, shape, stream, p, scale_log2);
}

}  // namespace

cudaError_t launch_prefill(const PagedAttentionParams& p, cudaStream_t stream) {
  return p.head_dim == 64 ? launch_dim<64>(p, stream) : launch_dim<128>(p, stream);
}

}  // namespace ernie::kernels::attention
