#pragma once

#include <cuda_runtime.h>

// Reductions whose order of additions is fixed by the number of threads alone, so the same input
// gives the same bits every time. Every thread gets the result.
namespace ernie::kernels {

constexpr unsigned kAllLanes = 0xffffffffu;

struct Sum {
  template <class T>
  __device__ static T combine(T a, T b) {
    return a + b;
  }
  __device__ static float identity() { return 0.0f; }
};
struct Max {
  __device__ static float combine(float a, float b) { return fmaxf(a, b); }  // ignores NaN
  __device__ static float identity() { return -INFINITY; }
};

struct MaxOrNan {  // NaN if one of them is
  __device__ static float combine(float a, float b) {
    float most;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
    return most;
  }
  __device__ static float identity() { return -INFINITY; }
};

// Over groups of kLanes neighbouring lanes, a power of two.
template <class Operation, int kLanes = 32, class T>
__device__ __forceinline__ T warp_reduce(T x) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) {
    x = Operation::combine(x, __shfl_xor_sync(kAllLanes, x, offset));
  }
  return x;
}
template <int kLanes = 32, class T>
__device__ __forceinline__ T warp_sum(T x) {
  return warp_reduce<Sum, kLanes>(x);
}
template <int kLanes = 32>
__device__ __forceinline__ float warp_max(float x) {
  return warp_reduce<Max, kLanes>(x);
}

// Over a block of kThreads threads in x, a multiple of 32. All threads must call it; it may be
// called again without a barrier between.
template <class Operation, int kThreads>
__device__ __forceinline__ float block_reduce(float x) {
  constexpr int kWarps = kThreads / 32;
  static_assert(kThreads % 32 == 0 && kWarps <= 32);
  x = warp_reduce<Operation>(x);
  if constexpr (kWarps == 1) return x;
  __shared__ float partial[kWarps];
  const int lane = threadIdx.x % 32;
  __syncthreads();  // the readers of an earlier call are done
  if (lane == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  return warp_reduce<Operation>(lane < kWarps ? partial[lane] : Operation::identity());
}
template <int kThreads>
__device__ __forceinline__ float block_sum(float x) {
  return block_reduce<Sum, kThreads>(x);
}
template <int kThreads>
__device__ __forceinline__ float block_max(float x) {
  return block_reduce<Max, kThreads>(x);
}

// 2^x with a relative error of about 2^-22; exp2(-infinity) = 0.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace ernie::kernels
