#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "kernels/common/arch.h"
#include "kernels/common/launch.cuh"

namespace ernie::kernels {
namespace {

__global__ void probe() {}

int detect() {
  const char* forced = std::getenv("ERNIE_CUDA_ARCH");
  if (forced != nullptr && std::strcmp(forced, "80") == 0) return 80;
  // The attributes are those of the code that was loaded: sm_90a machine code has no PTX for other
  // devices to fall back to, so 90 here means that sm_90a instructions exist.
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, probe) != cudaSuccess) return 80;
  return attributes.ptxVersion >= 90 && attributes.binaryVersion == 90 ? 90 : 80;
}

int count_multiprocessors() {
  int device = 0;
  int count = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    return 1;
  }
  return count;
}

}  // namespace

int arch() {
  static const int value = detect();
  return value;
}

int multiprocessors() {
  static const int value = count_multiprocessors();
  return value;
}

cudaError_t allow_shared_memory(const void* kernel, size_t bytes) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, size_t> allowed;  // by kernel and device
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  {
    const std::lock_guard lock(mutex);
    if (bytes <= allowed[{kernel, device}]) return cudaSuccess;
  }
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error != cudaSuccess) return error;
  const std::lock_guard lock(mutex);
  size_t& most = allowed[{kernel, device}];
  most = std::max(most, bytes);
  return cudaSuccess;
}

}  // namespace ernie::kernels
