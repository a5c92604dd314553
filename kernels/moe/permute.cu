#include "kernels/moe/permute.cuh"
#include "kernels/moe/permute.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;

// Calls visit(pair, id) for this warp's run of the pairs, 32 at a time and in rising order; all
// lanes come, with an id of -1 behind the end.
template <class Visit>
__device__ __forceinline__ void for_run(const int32_t* ids, int pairs, Visit visit) {
  constexpr int kBatch = 8;  // loads in flight
  const int lane = threadIdx.x % 32;
  const int run = static_cast<int>(ceil_div(ceil_div(pairs, kWarps), 32)) * 32;
  const int begin = static_cast<int>(threadIdx.x) / 32 * run;
  const int end = min(begin + run, pairs);
  for (int base = begin; base < end; base += 32 * kBatch) {
    int id[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int pair = base + 32 * b + lane;
      id[b] = pair < end ? ids[pair] : -1;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (base + 32 * b < end) visit(base + 32 * b + lane, id[b]);
    }
  }
}

// One block for each expert: it counts the pairs of lower experts, which come first, and places
// its own. Every block reads all ids; none waits for another.
__device__ void place_pairs(const MoePermuteParams& p, int expert) {
  __shared__ int lower_of[kWarps];
  __shared__ int own_of[kWarps];
  const int pairs = p.tokens * p.top_k;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  int lower = 0;
  int own = 0;
  for_run(p.expert_ids, pairs, [&](int pair, int id) {
    lower += static_cast<unsigned>(id) < static_cast<unsigned>(expert) ? 1 : 0;
    own += id == expert ? 1 : 0;
    if (expert == 0 && pair < pairs &&
        static_cast<unsigned>(id) >= static_cast<unsigned>(p.experts)) {
      p.pair_row[pair] = -1;
    }
  });
  lower = __reduce_add_sync(kAllLanes, lower);
  own = __reduce_add_sync(kAllLanes, own);
  if (lane == 0) {
    lower_of[warp] = lower;
    own_of[warp] = own;
  }
  __syncthreads();
  const int own_of_lane = own_of[lane];
  const int first = __reduce_add_sync(kAllLanes, lower_of[lane]);
  int row = first + __reduce_add_sync(kAllLanes, lane < warp ? own_of_lane : 0);
  if (threadIdx.x == 0) p.offsets[expert] = first;
  if (warp == 0 && expert == p.experts - 1) {
    const int all = first + __reduce_add_sync(kAllLanes, own_of_lane);
    if (lane == 0) p.offsets[p.experts] = all;
  }
  for_run(p.expert_ids, pairs, [&](int pair, int id) {
    const unsigned peers = __ballot_sync(kAllLanes, id == expert);
    if (id == expert) {
      const int at = row + __popc(peers & ((1u << lane) - 1));
      p.row_token[at] = pair / p.top_k;
      p.pair_row[pair] = at;
    }
    row += __popc(peers);
  });
}

__global__ __launch_bounds__(kThreads) void permute_kernel(
    const __grid_constant__ MoePermuteParams p) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int block = static_cast<int>(blockIdx.x);
  if (block < p.experts) {
    place_pairs(p, block);
    return;
  }
  // The rows of the shared expert need no sorting.
  const int token = (block - p.experts) * kThreads + static_cast<int>(threadIdx.x);
  if (token < p.tokens) p.row_token[p.tokens * p.top_k + token] = token;
}

}  // namespace

cudaError_t launch_moe_permute(const MoePermuteParams& p, cudaStream_t stream) {
  if (p.tokens < 0 || p.top_k <= 0 || p.experts <= 0 || p.experts > kMaxMoeExperts) {
    return cudaErrorInvalidValue;
  }
  const unsigned blocks =
      static_cast<unsigned>(p.experts + (p.shared_rows ? ceil_div(p.tokens, kThreads) : 0));
  return launch(permute_kernel,
                {.grid = dim3(blocks), .block = dim3(kThreads), .overlap_previous = true}, stream,
                p);
}

}  // namespace ernie::kernels
