#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "base/check.h"
#include "comm/communicator.h"
#include "tensor/bf16.h"

namespace ernie {
namespace {

// What the ranks of a group share. `tensors[r]` is read by the others between two barriers.
struct Group {
  explicit Group(int n) : size(n), tensors(static_cast<size_t>(n)), parts(static_cast<size_t>(n)) {}
  const int size;
  std::vector<TensorView> tensors;
  std::vector<std::vector<float>> parts;  // rank r's share of a sum
  std::atomic<int> arrived{0};
  std::atomic<uint32_t> generation{0};
  std::atomic<bool> aborted{false};
};

class LocalCommunicator final : public Communicator {
  using Clock = std::chrono::steady_clock;

 public:
  LocalCommunicator(std::shared_ptr<Group> group, int rank)
      : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }

  void barrier() override {
    constexpr int kSpins = 2000;  // some tens of microseconds
    Group& g = *group_;
    const uint32_t generation = g.generation.load(std::memory_order_acquire);
    check_alive();
    if (g.arrived.fetch_add(1, std::memory_order_acq_rel) == g.size - 1) {
      g.arrived.store(0, std::memory_order_relaxed);
      g.generation.fetch_add(1, std::memory_order_acq_rel);
      g.generation.notify_all();
      check_alive();
      return;
    }
    for (int i = 0; i < kSpins; ++i) {
      if (g.generation.load(std::memory_order_acquire) != generation) return check_alive();
      __builtin_ia32_pause();
    }
    waiting_since_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    g.generation.wait(generation, std::memory_order_acquire);
    waiting_since_.store(0, std::memory_order_relaxed);
    check_alive();
  }

  std::optional<Clock::time_point> waiting_since() const override {
    const Clock::rep since = waiting_since_.load(std::memory_order_relaxed);
    if (since == 0) return {};
    return Clock::time_point(Clock::duration(since));
  }

  void abort() override {
    group_->aborted.store(true, std::memory_order_release);
    group_->generation.fetch_add(1, std::memory_order_acq_rel);
    group_->generation.notify_all();
  }

  void all_reduce_sum(TensorView x) override {
    CHECK(x.dtype == DType::kF32 || x.dtype == DType::kBF16,
          std::string("all_reduce_sum of ") + dtype_name(x.dtype));
    Group& g = *group_;
    g.tensors[static_cast<size_t>(rank_)] = x;
    barrier();
    // Each rank adds up one share of the elements, in rank order, then all copy all shares.
    const int64_t n = x.shape.elements();
    const auto [begin, end] = share(n, rank_);
    std::vector<float>& sum = g.parts[static_cast<size_t>(rank_)];
    sum.assign(static_cast<size_t>(end - begin), 0.0f);
    for (const TensorView& t : g.tensors) {
      CHECK(t.shape == x.shape && t.dtype == x.dtype,
            "all_reduce_sum: ranks bring " + x.shape.to_string() + " and " + t.shape.to_string());
      if (x.dtype == DType::kF32) {
        for (int64_t i = begin; i < end; ++i)
          sum[static_cast<size_t>(i - begin)] += t.as<float>()[i];
      } else {
        for (int64_t i = begin; i < end; ++i) {
          sum[static_cast<size_t>(i - begin)] += to_float(t.as<BF16>()[i]);
        }
      }
    }
    barrier();
    for (int r = 0; r < g.size; ++r) {
      const std::vector<float>& part = g.parts[static_cast<size_t>(r)];
      const int64_t first = share(n, r).first;
      if (x.dtype == DType::kF32) {
        std::copy(part.begin(), part.end(), x.as<float>() + first);
      } else {
        std::transform(part.begin(), part.end(), x.as<BF16>() + first, to_bf16);
      }
    }
    barrier();
  }

  void all_gather_columns(TensorView part, TensorView out) override {
    Group& g = *group_;
    CHECK(out.dtype == part.dtype && out.rows() == part.rows() &&
              out.cols() == part.cols() * g.size && part.data != out.data,
          "all_gather_columns: part " + part.shape.to_string() + " of " + std::to_string(g.size) +
              " ranks, out " + out.shape.to_string());
    g.tensors[static_cast<size_t>(rank_)] = part;
    barrier();
    const size_t row_bytes = static_cast<size_t>(part.cols()) * dtype_bytes(part.dtype);
    char* to = out.as<char>();
    for (int64_t row = 0; row < part.rows(); ++row) {
      for (const TensorView& t : g.tensors) {
        CHECK(t.shape == part.shape, "all_gather_columns: ranks bring " + part.shape.to_string() +
                                         " and " + t.shape.to_string());
        std::memcpy(to, t.as<char>() + static_cast<size_t>(row) * row_bytes, row_bytes);
        to += row_bytes;
      }
    }
    barrier();
  }

  void broadcast(TensorView x, int root) override {
    Group& g = *group_;
    CHECK(root >= 0 && root < g.size, "broadcast from rank " + std::to_string(root));
    g.tensors[static_cast<size_t>(rank_)] = x;
    barrier();
    const TensorView& from = g.tensors[static_cast<size_t>(root)];
    CHECK(from.shape == x.shape && from.dtype == x.dtype,
          "broadcast: ranks bring " + x.shape.to_string() + " and " + from.shape.to_string());
    if (rank_ != root) std::memcpy(x.data, from.data, x.bytes());
    barrier();
  }

 private:
  void check_alive() const {
    if (group_->aborted.load(std::memory_order_acquire)) {
      throw std::runtime_error("another rank of the tensor-parallel group has failed");
    }
  }
  std::pair<int64_t, int64_t> share(int64_t n, int rank) const {
    return {n * rank / group_->size, n * (rank + 1) / group_->size};
  }

  std::shared_ptr<Group> group_;
  int rank_;
  std::atomic<Clock::rep> waiting_since_{0};  // 0: it does not wait
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_communicators(int size) {
  CHECK(size >= 1, "a group needs at least 1 rank, got " + std::to_string(size));
  const auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.reserve(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) ranks.push_back(std::make_unique<LocalCommunicator>(group, r));
  return ranks;
}

std::vector<std::unique_ptr<Communicator>> make_host_communicators(int size) {
  if (size != 1) return make_local_communicators(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.push_back(make_single_communicator());
  return ranks;
}

}  // namespace ernie
