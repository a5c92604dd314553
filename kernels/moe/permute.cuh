#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"

namespace ernie::kernels {

constexpr int kMaxMoeExperts = 256;  // of all modalities together

// What one block needs to sort (token, choice) pairs by expert.
template <int kThreads>
struct PairSorter {
  static constexpr int kWarps = kThreads / 32;
  int next[kWarps][kMaxMoeExperts];
  int offsets[kMaxMoeExperts + 1];
};

// Calls visit(pair, expert, lanes of the warp that hold the same expert) for pairs [begin, end) in
// rising order, 32 at a time; all lanes of a warp must come. Pairs with an id out of range are left
// out.
template <class Visit>
__device__ __forceinline__ void for_pairs(const int32_t* ids, int begin, int end, int experts,
                                          Visit visit) {
  constexpr int kBatch = 8;  // loads in flight
  const int lane = threadIdx.x % 32;
  for (int base = begin; base < end; base += 32 * kBatch) {
    int expert[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int pair = base + 32 * b + lane;
      expert[b] = pair < end ? ids[pair] : -1;
      if (static_cast<unsigned>(expert[b]) >= static_cast<unsigned>(experts)) expert[b] = -1;
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (base + 32 * b >= end) break;
      const unsigned peers = __match_any_sync(kAllLanes, expert[b]);
      visit(base + 32 * b + lane, expert[b], peers);
      __syncwarp();
    }
  }
}

// Stable counting sort of the pairs by expert with one block of kThreads: calls place(pair,
// position) for each pair and leaves in sorter.offsets the first position of each expert and, at
// [experts], the number of pairs. The order does not depend on timing: every warp owns a run of
// pairs and counts it on its own. Ends with a barrier.
template <int kThreads, class Place>
__device__ void sort_pairs(PairSorter<kThreads>& sorter, const int32_t* ids, int pairs, int experts,
                           Place place) {
  constexpr int kWarps = PairSorter<kThreads>::kWarps;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int run = static_cast<int>(ceil_div(ceil_div(pairs, kWarps), 32)) * 32;
  const int begin = min(warp * run, pairs);
  const int end = min(begin + run, pairs);
  int* next = sorter.next[warp];
  for (int e = lane; e < experts; e += 32) next[e] = 0;
  __syncwarp();
  for_pairs(ids, begin, end, experts, [&](int, int expert, unsigned peers) {
    if (expert >= 0 && lane == __ffs(peers) - 1) next[expert] += __popc(peers);
  });
  __syncthreads();
  for (int e = threadIdx.x; e < experts; e += kThreads) {
    int sum = 0;
    for (int w = 0; w < kWarps; ++w) {
      const int count = sorter.next[w][e];
      sorter.next[w][e] = sum;
      sum += count;
    }
    sorter.offsets[e] = sum;
  }
  __syncthreads();
  if (warp == 0) {
    int carry = 0;
    for (int base = 0; base < experts; base += 32) {
      const int e = base + lane;
      const int count = e < experts ? sorter.offsets[e] : 0;
      int sum = count;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int before = __shfl_up_sync(kAllLanes, sum, offset);
        if (lane >= offset) sum += before;
      }
      if (e < experts) sorter.offsets[e] = carry + sum - count;
      carry += __shfl_sync(kAllLanes, sum, 31);
    }
    if (lane == 0) sorter.offsets[experts] = carry;
  }
  __syncthreads();
  for_pairs(ids, begin, end, experts, [&](int pair, int expert, unsigned peers) {
    int position = 0;
    if (expert >= 0) position = next[expert];
    __syncwarp();
    if (expert < 0) return;
    if (lane == __ffs(peers) - 1) next[expert] = position + __popc(peers);
    place(pair, sorter.offsets[expert] + position + __popc(peers & ((1u << lane) - 1)));
  });
  __syncthreads();
}

}  // namespace ernie::kernels
