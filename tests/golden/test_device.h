#pragma once

#include <cstdlib>
#include <memory>
#include <string_view>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_factory.h"

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

}  // namespace ernie::golden
