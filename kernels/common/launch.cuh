#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <utility>

#include "kernels/common/arch.h"

namespace ernie::kernels {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  // Lets the kernel start while the one before it in the stream still runs (programmatic dependent
  // launch). Every thread of such a kernel must call wait_for_previous_kernel() before it touches
  // memory that another kernel reads or writes, and every block must have a thread that calls it:
  // a kernel that ended without waiting would hide an unfinished one from its successor.
  bool overlap_previous = false;
  // sm_90: so many neighbours along x form a cluster (at most 8).
  unsigned cluster = 1;
};

// Launches and returns the error, if any, of this launch. An empty grid is nothing to do.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
                   Arguments&&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return cudaSuccess;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attributes[2]{};
  config.attrs = attributes;
  if (shape.overlap_previous && arch() >= 90) {
    cudaLaunchAttribute& overlap = attributes[config.numAttrs++];
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = shape.cluster;
    cluster.val.clusterDim.y = 1;
    cluster.val.clusterDim.z = 1;
  }
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

// Allows `kernel` `bytes` of dynamic shared memory on this device, once: the driver's call waits
// for other threads that load code. Static and dynamic memory together have 48 KB without it, so
// smaller sizes may need it too. Not a stream operation: it may be called before every launch, also
// inside a capture.
cudaError_t allow_shared_memory(const void* kernel, size_t bytes);
template <class... Parameters>
cudaError_t allow_shared_memory(void (*kernel)(Parameters...), size_t bytes) {
  return allow_shared_memory(reinterpret_cast<const void*>(kernel), bytes);
}

// Blocks until the kernel before this one in the stream has ended and its writes can be seen. Does
// nothing in a kernel that was launched without overlap_previous.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Allows the next kernel to start once every block has called this or ended. It waits on its own
// for the end of this one, so this can be called first of all: what the next kernel does before its
// wait (it fetches weights, which never change) then fills the gaps that small kernels leave.
__device__ __forceinline__ void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// Asks for `bytes`, a multiple of 16, at the 16-byte aligned `from` to be brought into L2. For one
// thread; does nothing before sm_90.
__device__ __forceinline__ void prefetch_to_l2(const void* from, uint32_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#endif
}

constexpr __host__ __device__ int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The first error of several launches: first_error({launch_a(...), launch_b(...)}). The braces make
// them happen in this order; arguments of a call may be evaluated in any.
inline cudaError_t first_error(std::initializer_list<cudaError_t> launches) {
  for (const cudaError_t error : launches) {
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace ernie::kernels
