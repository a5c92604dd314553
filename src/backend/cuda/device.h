#pragma once

#include <cuda_runtime_api.h>

#include <source_location>

#include "ops/backend.h"

namespace ernie::cuda {

// Throws DeviceFault unless `error` is cudaSuccess. `call` names what was tried.
void check(cudaError_t error, const char* call,
           const std::source_location& where = std::source_location::current());
[[noreturn]] void throw_fault(const char* call, const std::string& error,
                              const std::source_location& where);

// Zeroed memory of the current device. Throws StartError with the sizes when the device is full.
Buffer allocate_device(size_t bytes);

// What cudaMalloc takes from the device for an allocation of this size.
size_t granted_bytes(size_t bytes);

ops::Backend::MemoryInfo device_memory();

// Sets the calling thread's device and makes a stream on it.
class Stream {
 public:
  explicit Stream(int device);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void synchronize();

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace ernie::cuda
