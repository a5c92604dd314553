#include "comm/cuda/cuda_communicator.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>

#include "base/check.h"
#include "base/result.h"
#include "kernels/all_reduce/all_reduce.h"

namespace ernie {
namespace {

std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")";
}

void require(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return;
  throw StartError("tensor parallelism: " + what + " failed: " + describe(error));
}

// Words that the host and all devices read and write: whether the group was aborted, the time limit
// in milliseconds, then for each rank 0, or 1 + the rank for which a wait of its gave up.
constexpr int kAbortWord = 0;
constexpr int kLimitWord = 1;
constexpr int kFaultWords = 2;

constexpr std::chrono::milliseconds kStartTimeLimit{60'000};

// What the ranks share.
class CudaGroup {
 public:
  explicit CudaGroup(CudaCommunicatorOptions options) : options_(std::move(options)) {
    try {
      set_up();
    } catch (...) {
      release();
      throw;
    }
  }
  ~CudaGroup() { release(); }
  CudaGroup(const CudaGroup&) = delete;
  CudaGroup& operator=(const CudaGroup&) = delete;

  int size() const { return static_cast<int>(options_.devices.size()); }
  int device(int rank) const { return options_.devices[static_cast<size_t>(rank)]; }
  CUstream_st* stream_of(int rank) const { return options_.stream_of(rank); }
  void set_time_limit(std::chrono::milliseconds limit) {
    std::atomic_ref(host_[kLimitWord])
        .store(static_cast<uint32_t>(limit.count()), std::memory_order_release);
  }
  const kernels::AllReduceSetup& setup(int rank) const {
    return setups_[static_cast<size_t>(rank)];
  }

  void check_alive(int rank) const {
    if (load(kAbortWord) != 0) {
      throw std::runtime_error("another rank of the tensor-parallel group has failed");
    }
    if (const uint32_t fault = load(kFaultWords + rank); fault != 0) {
      throw std::runtime_error(name_of(rank) + " waited more than " +
                               std::to_string(load(kLimitWord)) + " ms for " +
                               name_of(static_cast<int>(fault) - 1) +
                               " inside a collective: that rank hangs or its device is gone; "
                               "restart the server");
    }
  }

  void meet() {
    std::unique_lock lock(mutex_);
    const uint64_t generation = generation_;
    if (++arrived_ == size()) {
      arrived_ = 0;
      ++generation_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return generation_ != generation || load(kAbortWord) != 0; });
  }

  void abort() {
    {
      const std::lock_guard lock(mutex_);
      std::atomic_ref(host_[kAbortWord]).store(1, std::memory_order_release);
    }
    changed_.notify_all();
  }

 private:
  // Device code writes and reads these words too.
  uint32_t load(int word) const {
    return std::atomic_ref(host_[word]).load(std::memory_order_acquire);
  }

  std::string name_of(int rank) const {
    return "rank " + std::to_string(rank) + " (device " + std::to_string(device(rank)) + ")";
  }

  void set_up() {
    const int count = size();
    if (count > kernels::kMaxAllReduceRanks) {
      throw StartError("tensor parallelism takes at most " +
                       std::to_string(kernels::kMaxAllReduceRanks) + " GPUs, got " +
                       std::to_string(count));
    }
    void* host = nullptr;
    const size_t words = kFaultWords + static_cast<size_t>(count);
    require(
        cudaHostAlloc(&host, sizeof(uint32_t) * words, cudaHostAllocMapped | cudaHostAllocPortable),
        "cudaHostAlloc");
    host_ = static_cast<uint32_t*>(host);
    std::fill_n(host_, words, 0u);
    set_time_limit(kStartTimeLimit);
    const size_t one_shot = kernels::default_one_shot_bytes(count);
    const size_t bytes =
        kernels::all_reduce_buffer_bytes(count, options_.max_launch_bytes, one_shot);
    for (int rank = 0; rank < count; ++rank) {
      make_buffer(rank, bytes);
    }
    for (int rank = 0; rank < count; ++rank) {
      const int own = device(rank);
      kernels::AllReduceSetup setup;
      setup.rank = rank;
      setup.size = count;
      std::copy(buffers_.begin(), buffers_.end(), setup.buffers);
      setup.max_bytes = options_.max_launch_bytes;
      setup.one_shot_bytes = one_shot;
      // Kernels of ranks that share a device wait for each other, so they must fit on it together,
      // beside other work of both.
      const auto sharing = std::count(options_.devices.begin(), options_.devices.end(), own);
      if (sharing > 1) {
        int multiprocessors = 0;
        require(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, own),
                "cudaDeviceGetAttribute");
        setup.max_blocks = std::max(4, multiprocessors / static_cast<int>(2 * sharing) / 4 * 4);
      }
      setup.abort = host_ + kAbortWord;
      setup.fault = host_ + kFaultWords + rank;
      setup.time_limit_ms = host_ + kLimitWord;
      setups_.push_back(setup);
    }
  }

  // Zeroed memory of the rank's device that every device of the group may use. It comes from a pool
  // of its own: peer access to all of a device's memory would tie every later allocation and
  // release on it to the other devices, whose kernels may be waiting for this rank.
  void make_buffer(int rank, size_t bytes) {
    const int own = device(rank);
    require(cudaSetDevice(own), "choosing device " + std::to_string(own));
    std::vector<cudaMemAccessDesc> access;
    for (int peer : options_.devices) {
      if (peer == own) continue;
      int possible = 0;
      require(cudaDeviceCanAccessPeer(&possible, peer, own), "cudaDeviceCanAccessPeer");
      if (possible == 0) {
        throw StartError(
            "tensor parallelism needs GPUs that can address each other's memory, and device " +
            std::to_string(peer) + " cannot address device " + std::to_string(own) +
            "; use fewer GPUs or others, as nvidia-smi topo -p2p r shows");
      }
      cudaMemAccessDesc& desc = access.emplace_back();
      desc.location.type = cudaMemLocationTypeDevice;
      desc.location.id = peer;
      desc.flags = cudaMemAccessFlagsProtReadWrite;
    }
    cudaMemPoolProps props{};
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    props.location.id = own;
    cudaMemPool_t pool = nullptr;
    require(cudaMemPoolCreate(&pool, &props), "cudaMemPoolCreate");
    pools_.push_back(pool);
    if (!access.empty()) {
      require(cudaMemPoolSetAccess(pool, access.data(), access.size()), "cudaMemPoolSetAccess");
    }
    void* buffer = nullptr;
    require(cudaMallocFromPoolAsync(&buffer, bytes, pool, nullptr),
            "allocating " + std::to_string(bytes) + " bytes for exchange on device " +
                std::to_string(own));
    buffers_.push_back(buffer);
    require(cudaMemsetAsync(buffer, 0, bytes, nullptr), "cudaMemsetAsync");
    require(cudaDeviceSynchronize(), "clearing the memory for exchange");
  }

  void release() {
    for (size_t rank = 0; rank < buffers_.size(); ++rank) {
      cudaSetDevice(options_.devices[rank]);
      cudaFree(buffers_[rank]);
    }
    for (cudaMemPool_t pool : pools_) cudaMemPoolDestroy(pool);
    if (host_ != nullptr) cudaFreeHost(host_);
  }

  CudaCommunicatorOptions options_;
  std::vector<cudaMemPool_t> pools_;
  std::vector<void*> buffers_;
  std::vector<kernels::AllReduceSetup> setups_;
  uint32_t* host_ = nullptr;  // mapped
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  uint64_t generation_ = 0;
};

class CudaCommunicator final : public Communicator {
 public:
  CudaCommunicator(std::shared_ptr<CudaGroup> group, int rank)
      : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }

  void all_reduce_sum(TensorView x) override { sum(x, x); }

  bool all_reduce_sum_rounded(TensorView x, TensorView out) override {
    CHECK(x.dtype == DType::kF32 && out.dtype == DType::kBF16 && x.shape == out.shape,
          "all_reduce_sum_rounded: x " + x.shape.to_string() + " " + dtype_name(x.dtype) +
              ", out " + out.shape.to_string() + " " + dtype_name(out.dtype));
    sum(x, out);
    return true;
  }

  bool all_reduce_residual_rms_norm(const AllReduceNormArgs& a) override {
    const TensorView& x = a.x;
    // Longer ones are faster in steps: bench/results has the sums of 16 KB to 64 MB beside those
    // with a norm.
    constexpr size_t kMostBytes = size_t{512} << 10;
    if (!kernels::all_reduce_norm_takes(static_cast<int>(x.cols())) ||
        x.bytes() > std::min(kMostBytes, group_->setup(rank_).one_shot_bytes)) {
      return false;
    }
    CHECK(x.shape == a.residual.shape && x.shape == a.out.shape &&
              a.weight.shape.elements() == x.cols() && a.residual.dtype == a.out.dtype &&
              a.weight.dtype == a.out.dtype,
          "all_reduce_residual_rms_norm: x " + x.shape.to_string() + ", residual " +
              a.residual.shape.to_string() + ", out " + a.out.shape.to_string());
    group_->check_alive(rank_);
    issued(kernels::launch_all_reduce_norm(group_->setup(rank_),
                                           {.in = x.data,
                                            .type = element_type(x.dtype),
                                            .norm_type = element_type(a.out.dtype),
                                            .residual = a.residual.data,
                                            .weight = a.weight.data,
                                            .out = a.out.data,
                                            .eps = a.eps,
                                            .rows = x.rows(),
                                            .width = static_cast<int>(x.cols())},
                                           stream()),
           "all_reduce_residual_rms_norm of " + x.shape.to_string() + " " + dtype_name(x.dtype));
    return true;
  }

  void all_gather_columns(TensorView part, TensorView out) override {
    CHECK(out.dtype == part.dtype && out.rows() == part.rows() &&
              out.cols() == part.cols() * size() && part.data != out.data,
          "all_gather_columns: part " + part.shape.to_string() + " of " + std::to_string(size()) +
              " ranks, out " + out.shape.to_string());
    group_->check_alive(rank_);
    issued(kernels::launch_all_gather_columns(
               group_->setup(rank_),
               {part.data, out.data, part.rows(),
                part.cols() * static_cast<int64_t>(dtype_bytes(part.dtype))},
               stream()),
           "all_gather_columns of " + part.shape.to_string() + " " + dtype_name(part.dtype));
  }

  // A sum of which all parts but one are zero; -0 becomes 0.
  void broadcast(TensorView x, int root) override {
    CHECK(root >= 0 && root < size(), "broadcast from rank " + std::to_string(root));
    if (rank_ != root) {
      issued(cudaMemsetAsync(x.data, 0, x.bytes(), stream()), "clearing " + x.shape.to_string());
    }
    all_reduce_sum(x);
  }

  // Also ends what was issued on this rank before.
  void barrier() override {
    group_->check_alive(rank_);
    const cudaError_t error = cudaStreamSynchronize(stream());
    if (error != cudaSuccess) {
      throw std::runtime_error("device " + std::to_string(group_->device(rank_)) +
                               " failed: " + describe(error));
    }
    group_->meet();
    group_->check_alive(rank_);
  }

  void set_rehearsal(bool on) override {
    barrier();
    issued(kernels::rehearse_all_reduce(group_->setup(rank_), on, stream()), "a rehearsal");
    barrier();
  }

  void check() override { group_->check_alive(rank_); }
  void set_time_limit(std::chrono::milliseconds limit) override { group_->set_time_limit(limit); }
  void abort() override { group_->abort(); }

 private:
  void sum(TensorView x, TensorView out) {
    group_->check_alive(rank_);
    issued(kernels::launch_all_reduce(group_->setup(rank_),
                                      {x.data, out.data, element_type(x.dtype),
                                       element_type(out.dtype), x.shape.elements()},
                                      stream()),
           "the sum over ranks of " + x.shape.to_string() + " " + dtype_name(x.dtype));
  }

  static kernels::ElementType element_type(DType dtype) {
    CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
          std::string("sums over ranks are of float32 or bfloat16, not ") + dtype_name(dtype));
    return dtype == DType::kF32 ? kernels::ElementType::kF32 : kernels::ElementType::kBF16;
  }
  CUstream_st* stream() {
    if (stream_ == nullptr) stream_ = group_->stream_of(rank_);
    CHECK(stream_ != nullptr, "rank " + std::to_string(rank_) + " has no stream");
    return stream_;
  }

  // Sizes that the kernels refuse are programmer errors; the rest is a failure of the device.
  void issued(cudaError_t error, const std::string& what) const {
    CHECK(error != cudaErrorInvalidValue,
          what + ": expected 16-byte aligned data whose rows are multiples of 16 bytes");
    if (error != cudaSuccess) {
      throw std::runtime_error(what + " on device " + std::to_string(group_->device(rank_)) +
                               " failed: " + describe(error));
    }
  }

  std::shared_ptr<CudaGroup> group_;
  int rank_;
  CUstream_st* stream_ = nullptr;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_cuda_communicators(
    CudaCommunicatorOptions options) {
  CHECK(!options.devices.empty() && options.stream_of, "a group needs devices and streams");
  const auto group = std::make_shared<CudaGroup>(std::move(options));
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.reserve(static_cast<size_t>(group->size()));
  for (int r = 0; r < group->size(); ++r) {
    ranks.push_back(std::make_unique<CudaCommunicator>(group, r));
  }
  return ranks;
}

}  // namespace ernie
