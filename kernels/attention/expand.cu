#include "kernels/attention/paged_kernels.h"
#include "kernels/attention/sequence_scan.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/quantized/cache_cells.cuh"

// The contexts of sequences with more than one query as bfloat16 pages, one behind the other, with
// a table of their own: the prefill kernels read no others.
namespace ernie::kernels::attention {
namespace {

constexpr int kThreads = 128;
constexpr int kCellsPerThread = 8;

// Eight neighbouring elements, each rounded once.
template <CacheType kCache>
__device__ __forceinline__ void expand(const uint8_t* cells, float scale, __nv_bfloat16* out) {
  const uint2 words = *reinterpret_cast<const uint2*>(cells);
  float x[kCellsPerThread];
  cells_to_floats<kCache>(words.x, x);
  cells_to_floats<kCache>(words.y, x + 4);
#pragma unroll
  for (float& element : x) element *= scale;
  store_vector(out, from_floats<__nv_bfloat16>(x));
}

// Block (page, kv_head).
template <CacheType kCache>
__global__ void __launch_bounds__(kThreads)
    expand_kernel(const __grid_constant__ PagedAttentionParams p,
                  const __grid_constant__ ExpandedCache to) {
  __shared__ int first[kMaxAttentionSequences + 1];
  let_next_kernel_start();
  wait_for_previous_kernel();
  scan_sequences(p.num_seqs, first, [&](int s) {
    const int queries = p.query_start[s + 1] - p.query_start[s];
    return queries > 1 ? static_cast<int>(ceil_div(p.context_len[s], p.block_size)) : 0;
  });
  const int page = blockIdx.x;
  if (page >= first[p.num_seqs]) return;
  const int s = find_sequence(first, p.num_seqs, page);
  const int page_of_sequence = page - first[s];
  const int64_t at = static_cast<int64_t>(s) * p.max_blocks + page_of_sequence;
  if (blockIdx.y == 0 && threadIdx.x == 0) to.block_tables[at] = page;

  const int tokens = min(p.block_size, p.context_len[s] - page_of_sequence * p.block_size);
  const int64_t from_row =
      (static_cast<int64_t>(p.block_tables[at]) * p.kv_heads + blockIdx.y) * p.block_size;
  const int64_t to_row = (static_cast<int64_t>(page) * p.kv_heads + blockIdx.y) * p.block_size;
  const auto* scales = static_cast<const __nv_bfloat162*>(p.scales) + from_row;
  for (int i = threadIdx.x * kCellsPerThread; i < p.block_size * p.head_dim;
       i += kThreads * kCellsPerThread) {
    const int64_t from = from_row * p.head_dim + i;
    const int64_t into = to_row * p.head_dim + i;
    if (i >= tokens * p.head_dim) {  // the memory was used for other things
      const Vector16<__nv_bfloat16> zeros{};
      store_vector(to.keys + into, zeros);
      store_vector(to.values + into, zeros);
      continue;
    }
    const float2 scale = __bfloat1622float2(scales[i / p.head_dim]);
    expand<kCache>(static_cast<const uint8_t*>(p.keys) + from, scale.x, to.keys + into);
    expand<kCache>(static_cast<const uint8_t*>(p.values) + from, scale.y, to.values + into);
  }
}

}  // namespace

cudaError_t launch_expand(const PagedAttentionParams& p, const ExpandedCache& to, int pages,
                          cudaStream_t stream) {
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(pages), static_cast<unsigned>(p.kv_heads)),
      .block = dim3(kThreads),
      .overlap_previous = true};
  return launch(p.cache == CacheType::kInt8 ? expand_kernel<CacheType::kInt8>
                                            : expand_kernel<CacheType::kE4m3>,
                shape, stream, p, to);
}

}  // namespace ernie::kernels::attention
