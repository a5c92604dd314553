#include "kernels/moe/permute.cuh"
#include "kernels/moe/permute.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 1024;

__global__ __launch_bounds__(kThreads) void permute_kernel(
    const __grid_constant__ MoePermuteParams p) {
  __shared__ PairSorter<kThreads> sorter;
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int pairs = p.tokens * p.top_k;
  if (blockIdx.x > 0) {  // the rows of the shared expert need no sorting
    const int token = (blockIdx.x - 1) * kThreads + threadIdx.x;
    if (token < p.tokens) p.row_token[pairs + token] = token;
    return;
  }
  for (int i = threadIdx.x; i < pairs; i += kThreads) p.pair_row[i] = -1;
  __syncthreads();
  sort_pairs<kThreads>(sorter, p.expert_ids, pairs, p.experts, [&](int pair, int row) {
    p.row_token[row] = pair / p.top_k;
    p.pair_row[pair] = row;
  });
  for (int e = threadIdx.x; e <= p.experts; e += kThreads) p.offsets[e] = sorter.offsets[e];
}

}  // namespace

cudaError_t launch_moe_permute(const MoePermuteParams& p, cudaStream_t stream) {
  if (p.tokens < 0 || p.top_k <= 0 || p.experts <= 0 || p.experts > kMaxMoeExperts) {
    return cudaErrorInvalidValue;
  }
  const unsigned blocks =
      1 + (p.shared_rows ? static_cast<unsigned>(ceil_div(p.tokens, kThreads)) : 0);
  return launch(permute_kernel,
                {.grid = dim3(blocks), .block = dim3(kThreads), .overlap_previous = true}, stream,
                p);
}

}  // namespace ernie::kernels
