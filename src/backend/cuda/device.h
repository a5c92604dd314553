#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "ops/backend.h"

namespace ernie::cuda {

// Where a call is in the source: as a default argument, the caller's place. (std::source_location
// is more than clang-tidy 14 knows.)
struct Place {
  const char* file;
  int line;
  static constexpr Place current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

// Throws DeviceFault unless `error` is cudaSuccess. `call` names what was tried.
void check(cudaError_t error, const char* call, Place where = Place::current());
[[noreturn]] void throw_fault(const char* call, const std::string& error,
                              Place where = Place::current());

// Zeroed memory of the current device. Throws StartError with the sizes when the device is full.
Buffer allocate_device(size_t bytes);

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
