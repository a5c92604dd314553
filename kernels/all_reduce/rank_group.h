#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/all_reduce/all_reduce.h"
#include "kernels/common/arch.h"

// Ranks for the test and the benchmark: one thread, stream and buffer for each, on a GPU of its own
// or all on the first one. Ranks that share a GPU wait for each other inside kernels that must
// therefore be resident together, each with the next one of its stream, which may start early, and
// in clusters, which need neighbouring multiprocessors: their grids are small and they measure
// nothing.
namespace ernie::kernels {

// Set before the first CUDA call. Where ranks share a GPU, a kernel that is loaded at its first
// launch may wait for the device and so for a rank that cannot come, and streams that share a
// hardware queue wait for each other.
inline const bool rank_group_environment = setenv("CUDA_MODULE_LOADING", "EAGER", 0) == 0 &&
                                           setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0) == 0;

class RankGroup {
 public:
  struct Options {
    int size = 2;
    bool one_gpu = false;
    size_t max_bytes = size_t{8} << 20;
    size_t one_shot_bytes = 0;  // 0: the default
    uint32_t time_limit_ms = 10'000;
  };
  struct Rank {
    int device = 0;
    cudaStream_t stream = nullptr;
    AllReduceSetup setup;
    std::vector<void*> allocations;

    // Zeroed memory of this rank's GPU that lives as long as the group.
    cudaError_t allocate(void** p, size_t bytes);
  };

  // Null and the reason printed when it cannot be made.
  static std::unique_ptr<RankGroup> make(const Options& options);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int size() const { return static_cast<int>(ranks_.size()); }
  Rank& rank(int r) { return ranks_[static_cast<size_t>(r)]; }
  uint32_t fault(int r) const { return host_[2 + r]; }
  void abort() { *static_cast<volatile uint32_t*>(host_) = 1; }
  // body on one thread per rank with its device current, then waits for its stream. The first
  // error, if any.
  cudaError_t on_all(const std::function<cudaError_t(Rank&)>& body);

 private:
  explicit RankGroup(const Options& options);
  cudaError_t set_up(const Options& options);
  // Of every GPU to every other; a second time it would be an error.
  static cudaError_t enable_peer_access();
  // The first launch in a stream may wait for the device, on which another rank's kernel may
  // already wait for this one.
  static cudaError_t rehearse(Rank& rank);

  std::vector<Rank> ranks_;
  uint32_t* host_ = nullptr;  // mapped: abort, the time limit, then a fault for each rank
};

inline cudaError_t RankGroup::Rank::allocate(void** p, size_t bytes) {
  cudaError_t error = cudaSetDevice(device);
  if (error == cudaSuccess) error = cudaMalloc(p, bytes);
  if (error != cudaSuccess) return error;
  allocations.push_back(*p);
  error = cudaMemset(*p, 0, bytes);
  return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

inline RankGroup::RankGroup(const Options& options) : ranks_(static_cast<size_t>(options.size)) {}

inline std::unique_ptr<RankGroup> RankGroup::make(const Options& options) {
  std::unique_ptr<RankGroup> group(new RankGroup(options));
  const cudaError_t error = group->set_up(options);
  if (error == cudaSuccess) return group;
  std::printf("  no group of %d ranks: %s\n", options.size, cudaGetErrorString(error));
  return nullptr;
}

inline cudaError_t RankGroup::enable_peer_access() {
  int devices = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  for (int device = 0; device < devices; ++device) {
    if (error == cudaSuccess) error = cudaSetDevice(device);
    for (int peer = 0; peer < devices; ++peer) {
      if (error == cudaSuccess && peer != device) error = cudaDeviceEnablePeerAccess(peer, 0);
    }
  }
  return error;
}

inline cudaError_t RankGroup::set_up(const Options& options) {
  void* host = nullptr;
  cudaError_t error = cudaHostAlloc(&host, sizeof(uint32_t) * (2 + kMaxAllReduceRanks),
                                    cudaHostAllocMapped | cudaHostAllocPortable);
  if (error != cudaSuccess) return error;
  host_ = static_cast<uint32_t*>(host);
  std::fill_n(host_, 2 + kMaxAllReduceRanks, 0u);
  host_[1] = options.time_limit_ms;
  const int size = options.size;
  if (!options.one_gpu) {
    static const cudaError_t peers = enable_peer_access();
    if (peers != cudaSuccess) return peers;
  }
  const size_t one_shot =
      options.one_shot_bytes > 0 ? options.one_shot_bytes : default_one_shot_bytes(size);
  std::vector<void*> buffers;
  for (int r = 0; r < size; ++r) {
    Rank& rank = ranks_[static_cast<size_t>(r)];
    rank.device = options.one_gpu ? 0 : r;
    error = cudaSetDevice(rank.device);
    if (error != cudaSuccess) return error;
    error = cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking);
    if (error != cudaSuccess) return error;
    void* buffer = nullptr;
    error = rank.allocate(&buffer, all_reduce_buffer_bytes(size, options.max_bytes, one_shot));
    if (error != cudaSuccess) return error;
    buffers.push_back(buffer);
  }
  for (int r = 0; r < size; ++r) {
    AllReduceSetup& setup = ranks_[static_cast<size_t>(r)].setup;
    setup.rank = r;
    setup.size = size;
    std::copy(buffers.begin(), buffers.end(), setup.buffers);
    setup.max_bytes = options.max_bytes;
    setup.one_shot_bytes = one_shot;
    if (options.one_gpu) setup.max_blocks = std::max(4, multiprocessors() / (4 * size) / 4 * 4);
    setup.abort = host_;
    setup.time_limit_ms = host_ + 1;
    setup.fault = host_ + 2 + r;
  }
  for (Rank& rank : ranks_) {
    error = rehearse(rank);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

inline cudaError_t RankGroup::rehearse(Rank& rank) {
  void* data = nullptr;
  cudaError_t error = rank.allocate(&data, 16);
  if (error == cudaSuccess) error = rehearse_all_reduce(rank.setup, true, rank.stream);
  if (error == cudaSuccess) {
    error = launch_all_reduce(rank.setup, {data, data, ElementType::kF32, ElementType::kF32, 4},
                              rank.stream);
  }
  if (error == cudaSuccess) error = rehearse_all_reduce(rank.setup, false, rank.stream);
  return error == cudaSuccess ? cudaStreamSynchronize(rank.stream) : error;
}

inline RankGroup::~RankGroup() {
  for (Rank& rank : ranks_) {
    cudaSetDevice(rank.device);
    if (rank.stream != nullptr) cudaStreamDestroy(rank.stream);
    for (void* p : rank.allocations) cudaFree(p);
  }
  if (host_ != nullptr) cudaFreeHost(host_);
  cudaSetDevice(0);
}

inline cudaError_t RankGroup::on_all(const std::function<cudaError_t(Rank&)>& body) {
  std::vector<cudaError_t> errors(ranks_.size(), cudaSuccess);
  std::vector<std::thread> threads;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    threads.emplace_back([&, r] {
      Rank& rank = ranks_[r];
      errors[r] = cudaSetDevice(rank.device);
      if (errors[r] == cudaSuccess) errors[r] = body(rank);
      const cudaError_t ended = cudaStreamSynchronize(rank.stream);
      if (errors[r] == cudaSuccess) errors[r] = ended;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (cudaError_t error : errors) {
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace ernie::kernels
