#pragma once

#include <cuda_runtime.h>

// Thread block clusters (sm_90): a barrier and the addresses of each other's shared memory. On
// older devices neither is ever called.
namespace ernie::kernels {

// Every thread of the cluster arrives, then waits for all of them; what they wrote before they
// arrived, also to each other's shared memory, can be read after the wait.
__device__ __forceinline__ void cluster_arrive() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}

// The address, in block `rank` of the cluster, of what `p` is in this block's shared memory.
template <class T>
__device__ __forceinline__ T* cluster_address(T* p, int rank) {
  T* peer = p;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm("mapa.u64 %0, %1, %2;" : "=l"(peer) : "l"(p), "r"(rank));
#endif
  return peer;
}

}  // namespace ernie::kernels
