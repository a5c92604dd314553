#pragma once

#include "kernels/attention/paged_attention.h"
#include "kernels/common/reduce.cuh"

// Every block of an attention kernel finds its own work from the lengths on the device: no host
// needs to read them, and a captured graph serves any lengths.
namespace ernie::kernels::attention {

// first[i] = sum of count(j) over j < i, for i <= num_seqs. `first` is in shared memory; all
// threads must call this, and may read `first` afterwards.
template <class Count>
__device__ __forceinline__ void scan_sequences(int num_seqs, int* first, Count count) {
  for (int i = threadIdx.x; i < num_seqs; i += blockDim.x) first[i] = count(i);
  __syncthreads();
  if (threadIdx.x < 32) {
    const int lane = threadIdx.x;
    int carry = 0;
    for (int base = 0; base < num_seqs; base += 32) {
      const int own = base + lane < num_seqs ? first[base + lane] : 0;
      int sum = own;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int before = __shfl_up_sync(kAllLanes, sum, offset);
        if (lane >= offset) sum += before;
      }
      if (base + lane < num_seqs) first[base + lane] = carry + sum - own;
      carry += __shfl_sync(kAllLanes, sum, 31);
    }
    if (lane == 0) first[num_seqs] = carry;
  }
  __syncthreads();
}

// The sequence that holds `unit`: first[s] <= unit < first[s + 1].
__device__ __forceinline__ int find_sequence(const int* first, int num_seqs, int unit) {
  int low = 0;
  int high = num_seqs;  // first[low] <= unit < first[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first[middle] <= unit) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace ernie::kernels::attention
