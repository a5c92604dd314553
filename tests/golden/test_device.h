#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_factory.h"
#include "comm/communicator.h"

namespace ernie::golden {

// Golden and integration tests run on the CPU, or on GPUs with ERNIE_TEST_DEVICE=cuda.
inline bool tests_use_cuda() {
  const char* device = std::getenv("ERNIE_TEST_DEVICE");
  return device != nullptr && std::string_view(device) == "cuda";
}

inline std::unique_ptr<ops::Backend> make_test_backend(int rank, int threads) {
  if (tests_use_cuda()) return cuda::make_cuda_backend(rank);
  return cpu::make_cpu_backend({.threads = threads});
}

struct TestRanks {
  std::function<std::unique_ptr<ops::Backend>(int rank)> make_backend;
  CommunicatorFactory make_communicators;
};

// One thread or one GPU for each rank.
inline TestRanks make_test_ranks(int ranks) {
  if (tests_use_cuda()) {
    std::vector<int> devices(static_cast<size_t>(ranks));
    std::iota(devices.begin(), devices.end(), 0);
    auto cuda = cuda::make_cuda_ranks(std::move(devices));
    return {std::move(cuda.make_backend), std::move(cuda.make_communicators)};
  }
  return {[](int) { return cpu::make_cpu_backend({.threads = 1}); }, make_host_communicators};
}

inline bool has_devices_for(int ranks) {
  return !tests_use_cuda() || cuda::count_devices().count >= ranks;
}

}  // namespace ernie::golden
