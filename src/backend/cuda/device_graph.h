#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "ops/backend.h"

namespace ernie::cuda {

// A CUDA graph of what was issued on one stream.
class DeviceGraph final : public ops::Graph {
 public:
  DeviceGraph(cudaStream_t stream, const std::function<void()>& issue);
  ~DeviceGraph() override;
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  void replay() override;

 private:
  cudaStream_t stream_;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace ernie::cuda
