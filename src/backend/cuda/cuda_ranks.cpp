#include "backend/cuda/cuda_backend.h"
#include "backend/cuda_factory.h"
#include "base/check.h"
#include "base/result.h"
#include "comm/cuda/cuda_communicator.h"

namespace ernie::cuda {

CudaRanks make_cuda_ranks(std::vector<int> devices) {
  // Each rank's thread writes and reads its own entry.
  auto streams = std::make_shared<std::vector<cudaStream_t>>(devices.size());
  CudaRanks ranks;
  ranks.make_backend = [devices, streams](int rank) {
    const auto index = static_cast<size_t>(rank);
    auto backend = make_cuda_backend(devices.at(index));
    (*streams)[index] = static_cast<CudaBackend&>(*backend).native_stream();
    return backend;
  };
  ranks.make_communicators = [devices, streams](int size) {
    CHECK(size == static_cast<int>(devices.size()), "a device is needed for each rank");
    if (size == 1) return make_host_communicators(1);
    const DeviceCount present = count_devices();
    for (const int device : devices) {
      if (device < present.count) continue;
      throw StartError("there is no CUDA device " + std::to_string(device) + ": this machine has " +
                       std::to_string(present.count) + "; lower --tensor-parallel-size");
    }
    return make_cuda_communicators({.devices = devices, .stream_of = [streams](int rank) {
                                      return streams->at(static_cast<size_t>(rank));
                                    }});
  };
  return ranks;
}

}  // namespace ernie::cuda
