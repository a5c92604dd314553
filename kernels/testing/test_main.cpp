#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

#include "kernels/common/arch.h"
#include "kernels/testing/test_list.h"

// Exit code: 0 all passed, 1 some failed, 77 there is no GPU.
int main(int argc, char** argv) {
  using namespace ernie::kernels;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no CUDA device: nothing was tested\n");
    return 77;
  }
  cudaDeviceProp device{};
  if (cudaGetDeviceProperties(&device, 0) != cudaSuccess) return 1;
  std::printf("%s, compute capability %d.%d, code for sm_%d\n", device.name, device.major,
              device.minor, arch());
  int passed = 0;
  int failed = 0;
  for (const testing::TestCase& test : testing::all_tests()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    const bool ok = testing::run_test(test);
    ++(ok ? passed : failed);
    std::printf("%s %s\n", ok ? "passed" : "FAILED", test.name);
    std::fflush(stdout);
    // After a fault every further call on the device fails; say nothing wrong about the rest.
    if (!ok && cudaDeviceSynchronize() != cudaSuccess) {
      std::printf("the device faulted; the remaining tests were not run\n");
      break;
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
