#include <algorithm>
#include <cmath>

#include "kernels/attention/paged_attention.h"
#include "kernels/attention/paged_kernels.h"
#include "kernels/attention/simple_attention.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/quantized/cache_cells.cuh"

namespace ernie::kernels {
namespace attention {
namespace {

constexpr int kSimpleWarps = 4;

// Cells with their scales, rounded to T, at places that count elements.
template <class T, CacheType kCache>
struct ScaledCells {
  static constexpr int kWidth = 8;
  const uint8_t* keys;
  const uint8_t* values;
  const __nv_bfloat16* scales;
  int head_dim;

  explicit __device__ ScaledCells(const PagedAttentionParams& p)
      : keys(static_cast<const uint8_t*>(p.keys)),
        values(static_cast<const uint8_t*>(p.values)),
        scales(static_cast<const __nv_bfloat16*>(p.scales)),
        head_dim(p.head_dim) {}

  __device__ __forceinline__ void key(int64_t at, int i, float (&out)[kWidth]) const {
    const uint2 cells = *reinterpret_cast<const uint2*>(keys + at + i);
    cells_to_floats<kCache>(cells.x, out);
    cells_to_floats<kCache>(cells.y, out + 4);
    const float scale = to_float(scales[at / head_dim * 2]);
#pragma unroll
    for (float& x : out) x = to_float(from_float<T>(x * scale));
  }
  __device__ __forceinline__ float value(int64_t at, int i) const {
    float x[4];
    cells_to_floats<kCache>(values[at + i], x);
    return to_float(from_float<T>(x[0] * to_float(scales[at / head_dim * 2 + 1])));
  }
};

template <class T, CacheType kCache>
__device__ __forceinline__ auto elements_of(const PagedAttentionParams& p) {
  if constexpr (kCache == CacheType::kPlain) {
    return PlainElements<T>{static_cast<const T*>(p.keys), static_cast<const T*>(p.values)};
  } else {
    return ScaledCells<T, kCache>(p);
  }
}

template <class T, CacheType kCache>
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
      queries[threadIdx.x / 32], p.head_dim, visible, scale, elements_of<T, kCache>(p),
      [&](int key) {
        const int64_t block = table[key / p.block_size];
        return ((block * p.kv_heads + kv_head) * p.block_size + key % p.block_size) * p.head_dim;
      },
      static_cast<T*>(p.out) + (static_cast<int64_t>(row) * p.q_heads + head) * p.head_dim);
}

template <class T>
cudaError_t launch_simple_typed(const PagedAttentionParams& p, const LaunchShape& shape,
                                float scale, cudaStream_t stream) {
  switch (p.cache) {
    case CacheType::kPlain:
      return launch(simple_kernel<T, CacheType::kPlain>, shape, stream, p, scale);
    case CacheType::kInt8:
      return launch(simple_kernel<T, CacheType::kInt8>, shape, stream, p, scale);
    case CacheType::kE4m3:
      return launch(simple_kernel<T, CacheType::kE4m3>, shape, stream, p, scale);
  }
  return cudaErrorInvalidValue;
}

cudaError_t launch_prefill_plain(const PagedAttentionParams& p, cudaStream_t stream) {
  return arch() >= 90 && has_prefill_sm90() ? launch_prefill_sm90(p, stream)
                                            : launch_prefill(p, stream);
}

struct ExpandedMemory {
  ExpandedCache cache{};
  int pages = 0;  // that it has room for
};

ExpandedMemory expanded_memory(const PagedAttentionParams& p) {
  const size_t table = expanded_table_bytes(p.num_seqs, p.max_blocks);
  const size_t page = expanded_page_bytes(p.kv_heads, p.head_dim, p.block_size);
  ExpandedMemory memory;
  if (p.expanded_bytes < table) return memory;
  memory.pages =
      static_cast<int>(std::min<size_t>((p.expanded_bytes - table) / page, size_t{1} << 24));
  char* const begin = static_cast<char*>(p.expanded);
  memory.cache.block_tables = reinterpret_cast<int32_t*>(begin);
  memory.cache.keys = reinterpret_cast<__nv_bfloat16*>(begin + table);
  memory.cache.values = memory.cache.keys + static_cast<size_t>(memory.pages) * page / 4;
  return memory;
}

// Expands and attends to as many sequences at a time as there is room for.
cudaError_t launch_prefill_quantized(const PagedAttentionParams& p, cudaStream_t stream) {
  const ExpandedMemory memory = expanded_memory(p);
  if (memory.pages < p.max_blocks || p.host_query_start == nullptr ||
      p.host_context_len == nullptr) {
    return cudaErrorInvalidValue;
  }
  const auto pages_of = [&](int s) {
    const int queries = p.host_query_start[s + 1] - p.host_query_start[s];
    return queries > 1 ? static_cast<int>(ceil_div(p.host_context_len[s], p.block_size)) : 0;
  };
  for (int begin = 0; begin < p.num_seqs;) {
    int end = begin;
    int pages = 0;
    while (end < p.num_seqs && pages + pages_of(end) <= memory.pages) pages += pages_of(end++);
    if (end == begin) return cudaErrorInvalidValue;  // a context beyond max_blocks
    if (pages > 0) {
      PagedAttentionParams part = p;
      part.query_start += begin;
      part.context_len += begin;
      part.block_tables += static_cast<int64_t>(begin) * p.max_blocks;
      part.num_seqs = end - begin;
      PagedAttentionParams expanded = part;
      expanded.cache = CacheType::kPlain;
      expanded.keys = memory.cache.keys;
      expanded.values = memory.cache.values;
      expanded.block_tables = memory.cache.block_tables;
      const cudaError_t error = first_error({launch_expand(part, memory.cache, pages, stream),
                                             launch_prefill_plain(expanded, stream)});
      if (error != cudaSuccess) return error;
    }
    begin = end;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t launch_simple(const PagedAttentionParams& p, cudaStream_t stream) {
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.head_dim)));
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tokens),
                                       static_cast<unsigned>(ceil_div(p.q_heads, kSimpleWarps))),
                          .block = dim3(kSimpleWarps * 32),
                          .overlap_previous = true};
  return p.type == ElementType::kF32 ? launch_simple_typed<float>(p, shape, scale, stream)
                                     : launch_simple_typed<__nv_bfloat16>(p, shape, scale, stream);
}

}  // namespace attention

cudaError_t launch_paged_attention(const PagedAttentionParams& p, cudaStream_t stream) {
  if (p.tokens == 0 || p.num_seqs == 0) return cudaSuccess;
  if (p.tokens < 0 || p.num_seqs < 0 || p.num_seqs > kMaxAttentionSequences ||
      p.max_query_len < 1 || p.max_blocks < 1 || p.block_size < 1 || p.kv_heads < 1 ||
      p.q_heads < 1 || p.q_heads % p.kv_heads != 0 || p.head_dim < 8 || p.head_dim % 8 != 0 ||
      p.head_dim > attention::kMaxSimpleHeadDim || !is_aligned16(p.qkv) || !is_aligned16(p.out) ||
      !is_aligned16(p.keys) || !is_aligned16(p.values) || !is_aligned16(p.scales) ||
      (p.cache != CacheType::kPlain && p.scales == nullptr)) {
    return cudaErrorInvalidValue;
  }
  if (!attention_on_tensor_cores(p.type, p.head_dim)) return attention::launch_simple(p, stream);
  const size_t bytes = paged_attention_workspace_bytes(p.num_seqs, p.tokens, p.q_heads, p.head_dim,
                                                       int64_t{p.max_blocks} * p.block_size);
  if (!is_aligned16(p.workspace) || p.workspace == nullptr || p.workspace_bytes < bytes ||
      size_t{4} * static_cast<size_t>(p.num_seqs) *
              static_cast<size_t>(attention::items_per_split(p)) >
          kAttentionCounterBytes) {
    return cudaErrorInvalidValue;
  }
  if (p.max_query_len == 1) return attention::launch_decode(p, stream);
  const cudaError_t error = p.cache == CacheType::kPlain
                                ? attention::launch_prefill_plain(p, stream)
                                : attention::launch_prefill_quantized(p, stream);
  // With as many rows as the longest sequences can have, none has a single query.
  const bool all_long = int64_t{p.max_query_len} * p.num_seqs == p.tokens;
  if (error != cudaSuccess || all_long) return error;
  return attention::launch_decode(p, stream);
}

}  // namespace ernie::kernels
