#pragma once

#include <cuda_runtime.h>

#include "kernels/common/reduce.cuh"
#include "kernels/moe/experts_internal.h"
#include "kernels/moe/permute.cuh"

// The groups of the grouped matrix product, as a kernel finds them on the device. Group 0 is the
// shared expert, which takes longest and so comes first; group 1 + e is expert e.
namespace ernie::kernels::moe {

struct Group {
  int expert;     // index of its weights
  int first_row;  // of the (token, expert) rows
  int rows;
  int width;
};

__device__ __forceinline__ int width_of(const MoeExpertsParams& p, int expert) {
  return expert < p.text_experts ? p.text_width : p.vision_width;
}

// The same with the shared expert behind the others.
__device__ __forceinline__ int width_of(const Problem& problem, int expert) {
  return expert == problem.experts ? problem.p.shared_width : width_of(problem.p, expert);
}
__device__ __forceinline__ const WeightFormat& format_of(const Problem& problem, int expert) {
  const MoeExpertsParams& p = problem.p;
  if (expert == problem.experts) return p.shared_format;
  return expert < p.text_experts ? p.text_format : p.vision_format;
}

__device__ __forceinline__ Group group_of(const Problem& problem, const int* offsets, int index) {
  const MoeExpertsParams& p = problem.p;
  if (index == 0) {
    return {problem.experts, p.tokens * p.top_k, p.shared_width > 0 ? p.tokens : 0, p.shared_width};
  }
  const int expert = index - 1;
  return {expert, offsets[expert], offsets[expert + 1] - offsets[expert], width_of(p, expert)};
}

// With a whole warp, lane k < top_k having the expert of a token's choice k: the place of this
// choice among them by rising expert. A sum over experts is taken in that order.
__device__ __forceinline__ int rank_by_expert(int expert, int top_k) {
  const int k = static_cast<int>(threadIdx.x % 32);
  int rank = 0;
  for (int other = 0; other < top_k; ++other) {
    const int other_expert = __shfl_sync(kAllLanes, expert, other);
    rank += other_expert < expert || (other_expert == expert && other < k) ? 1 : 0;
  }
  return rank;
}

// The work of all groups laid end to end: first[i] is the number of items before group i.
struct GroupTable {
  int first[kMaxMoeExperts + 2];
};

// With the first warp of a block; barriers are up to the caller. items(i) is the number of items of
// group i < groups.
template <class Items>
__device__ void fill_table(GroupTable& table, int groups, Items items) {
  const int lane = threadIdx.x % 32;
  int carry = 0;
  for (int base = 0; base < groups; base += 32) {
    const int count = base + lane < groups ? items(base + lane) : 0;
    int sum = count;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int before = __shfl_up_sync(kAllLanes, sum, offset);
      if (lane >= offset) sum += before;
    }
    if (base + lane < groups) table.first[base + lane] = carry + sum - count;
    carry += __shfl_sync(kAllLanes, sum, 31);
  }
  if (lane == 0) table.first[groups] = carry;
}

// The group of item < table.first[groups]: the last one that begins at or before it, which is never
// an empty one.
__device__ __forceinline__ int find_group(const GroupTable& table, int groups, int item) {
  int low = 0;
  int high = groups;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.first[middle] <= item ? low : high) = middle;
  }
  return low;
}

}  // namespace ernie::kernels::moe
