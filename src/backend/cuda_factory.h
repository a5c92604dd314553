#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "ops/backend.h"

// Implemented by backend/cuda, or by backend/no_cuda in a build without CUDA.
namespace ernie::cuda {

// A CUDA call or kernel failed; the device can no longer be used by this process. what() names the
// call and its place, the error, the device and what to do.
class DeviceFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct DeviceInfo {
  std::string name;
  size_t total_bytes = 0;
  size_t free_bytes = 0;  // other processes' use is used
  int major = 0;          // compute capability
  int minor = 0;
};

// Devices that this build can run on; zero without a driver. `reason` is set when it is zero.
struct DeviceCount {
  int count = 0;
  std::string reason;
};
DeviceCount count_devices();

// Of device 0 to count_devices().count - 1.
DeviceInfo device_info(int device);

// A backend on one device, with one stream. To be called and used by one thread. Throws StartError
// when there is no such device.
std::unique_ptr<ops::Backend> make_cuda_backend(int device);

// What a group of ranks needs, made for each other: rank i's collectives run on the stream of the
// backend that make_backend(i) made. Both throw StartError.
struct CudaRanks {
  std::function<std::unique_ptr<ops::Backend>(int rank)> make_backend;  // on the rank's thread
  // Comes first; takes memory for exchange on every device.
  CommunicatorFactory make_communicators;
};

// Rank i on devices[i].
CudaRanks make_cuda_ranks(std::vector<int> devices);

}  // namespace ernie::cuda
