#include "backend/cuda/device.h"

#include <string>
#include <string_view>

#include "backend/cuda_factory.h"
#include "base/log.h"
#include "base/result.h"

namespace ernie::cuda {
namespace {

std::string mib(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string current_device() {
  int device = -1;
  cudaDeviceProp properties{};
  if (cudaGetDevice(&device) != cudaSuccess) return "an unknown device";
  std::string text = "device " + std::to_string(device);
  if (cudaGetDeviceProperties(&properties, device) == cudaSuccess) {
    text += std::string(" (") + properties.name + ")";
  }
  return text;
}

std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")";
}

void free_device(void* p) { cudaFree(p); }

}  // namespace

void throw_fault(const char* call, const std::string& error, Place where) {
  const std::string what = std::string(call) + " failed on " + current_device() + ": " + error;
  // Clients are told the fault, and not where in the source it was found.
  const std::string_view file = where.file;
  log::error("CUDA: {}, at {}:{}", what, file.substr(file.rfind('/') + 1), where.line);
  throw DeviceFault("CUDA: " + what +
                    "; the device cannot be used by this process any more, start it again");
}

void check(cudaError_t error, const char* call, Place where) {
  if (error == cudaSuccess) [[likely]]
    return;
  throw_fault(call, describe(error), where);
}

Buffer allocate_device(size_t bytes) {
  if (bytes == 0) return Buffer(nullptr, 0, free_device);
  void* p = nullptr;
  const cudaError_t error = cudaMalloc(&p, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: the device stays usable
    const auto info = device_memory();
    throw StartError("cannot allocate " + std::to_string(bytes) + " bytes (" + mib(bytes) +
                     ") on " + current_device() + ": " + mib(info.free_bytes) + " of " +
                     mib(info.total_bytes) +
                     " are free; use a smaller model, fewer KV blocks or a lower "
                     "--gpu-memory-utilization, or end other processes on it");
  }
  check(error, "cudaMalloc");
  Buffer buffer(p, bytes, free_device);
  check(cudaMemset(p, 0, bytes), "cudaMemset");
  // The memset runs on the default stream, for which no other stream waits.
  check(cudaStreamSynchronize(nullptr), "cudaMemset");
  return buffer;
}

ops::Backend::MemoryInfo device_memory() {
  ops::Backend::MemoryInfo info;
  check(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "cudaMemGetInfo");
  info.shared_by_ranks = false;
  return info;
}

Stream::Stream(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

Stream::~Stream() { cudaStreamDestroy(stream_); }

void Stream::synchronize() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

DeviceCount count_devices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return {0, "no CUDA device was found: " + describe(error)};
  }
  if (count == 0) return {0, "no CUDA device was found: the driver lists none"};
  for (int device = 0; device < count; ++device) {
    // Not device_info(): to ask for free memory makes a context, which takes some 500 MiB of a
    // device that this process may never use.
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
    if (properties.major < 8) {
      return {0, "device " + std::to_string(device) + " (" + properties.name +
                     ") has compute capability " + std::to_string(properties.major) + "." +
                     std::to_string(properties.minor) +
                     ", expected 8.0 or higher; hide it with "
                     "CUDA_VISIBLE_DEVICES"};
    }
  }
  return {count, ""};
}

DeviceInfo device_info(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  int before = 0;
  check(cudaGetDevice(&before), "cudaGetDevice");
  check(cudaSetDevice(device), "cudaSetDevice");
  const auto memory = device_memory();
  check(cudaSetDevice(before), "cudaSetDevice");
  return {properties.name, memory.total_bytes, memory.free_bytes, properties.major,
          properties.minor};
}

}  // namespace ernie::cuda
