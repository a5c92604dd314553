#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>

#include "kernels/common/arch.h"

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

}  // namespace ernie::kernels
