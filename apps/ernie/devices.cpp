#include "devices.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_factory.h"
#include "backend/cuda_sizing/cuda_sizing.h"

namespace ernie::app {
namespace {

// A GPU's step takes milliseconds, and far less than 10 for each token of a prompt. The check comes
// at most 100 ms late, so that a rank that hangs is found within 2 s.
constexpr engine::StepTimeLimits kGpuTimeLimits{.step = std::chrono::milliseconds(1800),
                                                .token = std::chrono::milliseconds(10),
                                                .rank = std::chrono::milliseconds(1800)};
// With so many, the masks of 64 sequences take a small part of the shortest step.
constexpr int kMostLateThreads = 8;

Devices cpu_devices(const ServeOptions& options) {
  const int cores = std::max(1u, std::thread::hardware_concurrency());
  const int threads = options.cpu_threads > 0 ? options.cpu_threads : cores;
  const int each = std::max(1, threads / options.engine.tensor_parallel_size);
  return {.make_backend = [each](int) { return cpu::make_cpu_backend({.threads = each}); },
          .make_communicators = make_host_communicators,
          .sizing = cpu::cpu_sizing()};
}

}  // namespace

bool chooses_cuda(const ServeOptions& options) {
  if (options.device == "cpu") return false;
  const cuda::DeviceCount devices = cuda::count_devices();
  if (devices.count == 0 && options.device == "cuda") {
    throw StartError("--device cuda: " + devices.reason);
  }
  return devices.count > 0;
}

Devices choose_devices(const ServeOptions& options, engine::EngineConfig& config) {
  if (!chooses_cuda(options)) return cpu_devices(options);
  config.time_limits = kGpuTimeLimits;
  config.steps_in_flight = 2;
  config.late_threads =
      std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 2, 1, kMostLateThreads);
  std::vector<int> devices(static_cast<size_t>(options.engine.tensor_parallel_size));
  std::iota(devices.begin(), devices.end(), 0);
  cuda::CudaRanks ranks = cuda::make_cuda_ranks(std::move(devices));
  return {std::move(ranks.make_backend), std::move(ranks.make_communicators), cuda::cuda_sizing()};
}

}  // namespace ernie::app
