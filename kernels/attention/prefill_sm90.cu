#include <algorithm>
#include <cmath>

#include "kernels/attention/paged_kernels.h"
#include "kernels/attention/sequence_scan.cuh"
#include "kernels/common/launch.cuh"

// Sequences of more than one query on Hopper, by FlashInfer's kernel in the manner of
// FlashAttention-3 (arXiv 2407.08608): asynchronous copies by one warpgroup, wgmma and softmax by
// the others. FlashInfer plans on the host; here one block plans on the device, so no host copy of
// the lengths is needed and launches can be captured.
#if __has_include(<flashinfer/attention/hopper/prefill_sm90.cuh>)
// FlashInfer's list of CUTLASS headers brings in every GEMM there is and CUTLASS's host utilities;
// its attention needs the five below. Compiling takes half the time without it.
#define FLASHINFER_CUTLASS_UTILS_CUH_
// The order matters.
// clang-format off
#include <cute/tensor.hpp>
#include <cutlass/cutlass.h>
#include <cutlass/numeric_types.h>
#include <cutlass/gemm/dispatch_policy.hpp>
#include <cutlass/gemm/collective/builders/sm90_common.inl>
// clang-format on
#include <flashinfer/attention/hopper/default_params.cuh>
#include <flashinfer/attention/hopper/prefill_sm90.cuh>
#include <flashinfer/attention/hopper/variants.cuh>

namespace ernie::kernels::attention {
namespace {

// Rows of a tile, as FlashInfer's dispatcher chooses them for the head_dim.
constexpr int rows_of_tile(int head_dim) { return head_dim == 64 ? 192 : 128; }

// Work w is row tile tile[w] of one sequence. Block x of the grid has the works begin[x] to
// begin[x + 1], for every query head.
struct Plan {
  int32_t* begin;        // [blocks + 1]
  int32_t* tile;         // all further [works]
  int32_t* query_start;  // first row of qkv
  int32_t* table_start;  // first entry of block_tables
  int32_t* queries;
  int32_t* context;
  int32_t* sequence;
};

static_assert(std::min(rows_of_tile(64), rows_of_tile(128)) == kPrefillPlanRows);

Plan plan_at(int32_t* memory, int64_t works, int blocks) {
  int32_t* next = memory + prefill_plan_stride(blocks + 1);
  const int64_t stride = prefill_plan_stride(works);
  Plan plan{};
  plan.begin = memory;
  for (int32_t** array : {&plan.tile, &plan.query_start, &plan.table_start, &plan.queries,
                          &plan.context, &plan.sequence}) {
    *array = next;
    next += stride;
  }
  return plan;
}

// Work i in the order of falling cost within a sequence goes to block i % blocks.
__global__ void __launch_bounds__(256)
    plan_kernel(const __grid_constant__ PagedAttentionParams p, const __grid_constant__ Plan plan,
                int blocks, int rows_per_tile) {
  __shared__ int first[kMaxAttentionSequences + 1];
  wait_for_previous_kernel();
  scan_sequences(p.num_seqs, first, [&](int s) {
    const int queries = p.query_start[s + 1] - p.query_start[s];
    return queries > 1 ? (queries + rows_per_tile - 1) / rows_per_tile : 0;
  });
  const int works = first[p.num_seqs];
  const int even = works / blocks;
  const int odd = works % blocks;  // blocks with one work more
  for (int x = threadIdx.x; x <= blocks; x += blockDim.x) {
    plan.begin[x] = x * even + min(x, odd);
  }
  for (int i = threadIdx.x; i < works; i += blockDim.x) {
    const int unit = works - 1 - i;
    const int s = find_sequence(first, p.num_seqs, unit);
    const int x = i % blocks;
    const int w = x * even + min(x, odd) + i / blocks;
    plan.tile[w] = unit - first[s];
    plan.query_start[w] = p.query_start[s];
    plan.table_start[w] = s * p.max_blocks;
    plan.queries[w] = p.query_start[s + 1] - p.query_start[s];
    plan.context[w] = p.context_len[s];
    plan.sequence[w] = s;
  }
}

template <int kDim>
cudaError_t launch_dim(const PagedAttentionParams& p, const Plan& plan, cudaStream_t stream) {
  using Element = cutlass::bfloat16_t;
  using Params = flashinfer::BatchPrefillPagedParams<Element, Element, Element, int32_t>;
  const auto element = [](const void* x) { return static_cast<Element*>(const_cast<void*>(x)); };
  Params f{};
  f.q_ptr = element(p.qkv);
  f.k_ptr = element(p.keys);
  f.v_ptr = element(p.values);
  f.o_ptr = element(p.out);
  f.qo_tile_indices = plan.tile;
  f.qo_indptr = plan.query_start;
  f.kv_indptr = plan.table_start;
  f.kv_indices = const_cast<int32_t*>(p.block_tables);
  f.qo_lens = plan.queries;
  f.kv_lens = plan.context;
  f.work_indptr = plan.begin;
  f.batch_indices = plan.sequence;
  f.additional_params.sm_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(kDim)));
  f.q_stride_n = int64_t{p.q_heads + 2 * p.kv_heads} * kDim;
  f.q_stride_h = kDim;
  f.o_stride_n = int64_t{p.q_heads} * kDim;
  f.o_stride_h = kDim;
  f.k_stride_n = f.v_stride_n = kDim;
  f.k_stride_h = f.v_stride_h = int64_t{p.block_size} * kDim;
  f.k_page_stride = f.v_page_stride = int64_t{p.kv_heads} * p.block_size * kDim;
  f.nnz_qo = p.tokens;
  f.num_qo_heads = p.q_heads;
  f.num_kv_heads = p.kv_heads;
  f.group_size = query_heads_per_kv_head(p);
  f.page_size = p.block_size;
  f.window_left = -1;
  f.causal = true;
  return flashinfer::BatchPrefillWithPagedKVCacheDispatched<
      kDim, kDim, flashinfer::MaskMode::kCausal, /*LEFT_SLIDING_WINDOW=*/false,
      /*SAME_SCHEDULE_FOR_ALL_HEADS=*/true, flashinfer::StandardAttention>(f, /*enable_pdl=*/false,
                                                                           stream);
}

}  // namespace

bool has_prefill_sm90() { return true; }

cudaError_t launch_prefill_sm90(const PagedAttentionParams& p, cudaStream_t stream) {
  const int blocks = multiprocessors();
  if (blocks > kMostPrefillBlocks) return cudaErrorInvalidValue;
  const Plan plan = plan_at(static_cast<int32_t*>(behind_counters(p)),
                            most_prefill_works(p.num_seqs, p.tokens), blocks);
  const LaunchShape shape{.grid = dim3(1), .block = dim3(256), .overlap_previous = true};
  const cudaError_t error =
      launch(plan_kernel, shape, stream, p, plan, blocks, rows_of_tile(p.head_dim));
  if (error != cudaSuccess) return error;
  return p.head_dim == 64 ? launch_dim<64>(p, plan, stream) : launch_dim<128>(p, plan, stream);
}

}  // namespace ernie::kernels::attention

#else

namespace ernie::kernels::attention {

bool has_prefill_sm90() { return false; }
cudaError_t launch_prefill_sm90(const PagedAttentionParams& p, cudaStream_t stream) {
  return launch_prefill(p, stream);
}

}  // namespace ernie::kernels::attention

#endif
