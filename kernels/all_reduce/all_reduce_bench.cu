#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/all_reduce/rank_group.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels::bench {
namespace {

// What is needed of NCCL's interface (nccl.h), from the library found when the program runs, so
// that it also builds where there is none.
class Nccl {
 public:
  using Comm = void*;

  static const Nccl* get() {
    static const Nccl nccl;
    return nccl.all_reduce != nullptr ? &nccl : nullptr;
  }
  int (*comm_init_all)(Comm*, int, const int*) = nullptr;
  int (*comm_destroy)(Comm) = nullptr;
  int (*all_reduce)(const void*, void*, size_t, int type, int operation, Comm,
                    cudaStream_t) = nullptr;
  static constexpr int kBFloat16 = 9;  // ncclBfloat16
  static constexpr int kSum = 0;       // ncclSum

 private:
  Nccl() {
    setenv("NCCL_NVLS_ENABLE", "0", 1);  // no NVLink multicast
    void* library = nullptr;
    for (const char* name : {"libnccl.so.2", "/usr/local/cuda/lib/libnccl.so.2",
                             "/usr/local/cuda/lib64/libnccl.so.2"}) {
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) return;
    load(library, "ncclCommInitAll", comm_init_all);
    load(library, "ncclCommDestroy", comm_destroy);
    load(library, "ncclAllReduce", all_reduce);
  }
  template <class Function>
  static void load(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
  }
};

using Launch = std::function<cudaError_t(RankGroup::Rank&)>;

// Microseconds per call on the slowest rank: the median over replays of a graph of calls. All ranks
// replay the same number of times and meet in every call.
double time_on_all(RankGroup& group, const Launch& launch, int calls) {
  constexpr int kReplays = 21;
  std::vector<double> medians(static_cast<size_t>(group.size()));
  check(group.on_all([&](RankGroup::Rank& rank) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    check(launch(rank), "launch");  // loads the code before the capture
    check(cudaStreamSynchronize(rank.stream), "run");
    check(cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal), "begin capture");
    for (int i = 0; i < calls; ++i) check(launch(rank), "capture");
    check(cudaStreamEndCapture(rank.stream, &graph), "end capture");
    check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    check(cudaEventCreate(&begin), "event");
    check(cudaEventCreate(&end), "event");
    std::vector<double> times;
    for (int i = 0; i < kReplays + 2; ++i) {
      check(cudaEventRecord(begin, rank.stream), "record");
      check(cudaGraphLaunch(executable, rank.stream), "replay");
      check(cudaEventRecord(end, rank.stream), "record");
      check(cudaEventSynchronize(end), "run graph");
      float ms = 0;
      check(cudaEventElapsedTime(&ms, begin, end), "elapsed time");
      if (i >= 2) times.push_back(ms * 1e3 / calls);
    }
    std::nth_element(times.begin(), times.begin() + kReplays / 2, times.end());
    medians[static_cast<size_t>(rank.setup.rank)] = times[kReplays / 2];
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    return cudaSuccess;
  }),
        "ranks");
  for (int r = 0; r < group.size(); ++r) {
    if (group.fault(r) != 0) std::printf("rank %d: a wait gave up; the times mean nothing\n", r);
  }
  return *std::max_element(medians.begin(), medians.end());
}

constexpr size_t kSizes[] = {size_t{16} << 10,  size_t{32} << 10,  size_t{64} << 10,
                             size_t{128} << 10, size_t{256} << 10, size_t{512} << 10,
                             size_t{1} << 20,   size_t{2} << 20,   size_t{4} << 20,
                             size_t{16} << 20,  size_t{64} << 20};
constexpr size_t kLeast = size_t{16} << 10;
constexpr size_t kMost = size_t{64} << 20;
// What one launch takes in the engine's communicator.
constexpr size_t kLaunchBytes = size_t{16} << 20;
constexpr size_t kMostInOneShot = size_t{4} << 20;
constexpr int kWidth = 8192;

struct Memory {
  void* in = nullptr;
  void* out = nullptr;
  void* residual = nullptr;
  void* weight = nullptr;
};
std::vector<Memory> allocate_memory(RankGroup& group) {
  std::vector<Memory> memory(static_cast<size_t>(group.size()));
  for (int r = 0; r < group.size(); ++r) {
    Memory& m = memory[static_cast<size_t>(r)];
    for (void** p : {&m.in, &m.out, &m.residual, &m.weight}) {
      check(group.rank(r).allocate(p, kMost), "allocate");
    }
  }
  return memory;
}

// Times for kSizes up to `most` bytes.
using Times = std::vector<double>;
Times time_sizes(RankGroup& group, size_t most,
                 const std::function<cudaError_t(RankGroup::Rank&, const Memory&, size_t)>& call) {
  const std::vector<Memory> memory = allocate_memory(group);
  Times times;
  for (const size_t bytes : kSizes) {
    if (bytes > most) break;
    const int calls = bytes > (size_t{4} << 20) ? 10 : 50;
    times.push_back(time_on_all(
        group,
        [&](RankGroup::Rank& rank) {
          return call(rank, memory[static_cast<size_t>(rank.setup.rank)], bytes);
        },
        calls));
  }
  return times;
}

// Ours with messages up to `one_shot_bytes` in one shot.
enum class Kind { kSum, kSumOfFloat, kNorm };
Times time_ours(int size, bool one_gpu, size_t one_shot_bytes, Kind kind) {
  const auto group = RankGroup::make({.size = size,
                                      .one_gpu = one_gpu,
                                      .max_bytes = kLaunchBytes,
                                      .one_shot_bytes = one_shot_bytes});
  if (group == nullptr) return {};
  const size_t most = one_shot_bytes == kMostInOneShot ? kMostInOneShot : kMost;
  return time_sizes(*group, most, [kind](RankGroup::Rank& rank, const Memory& m, size_t bytes) {
    const auto count = static_cast<int64_t>(bytes / 2);
    if (kind == Kind::kSumOfFloat) {
      return launch_all_reduce(
          rank.setup, {m.in, m.out, ElementType::kF32, ElementType::kBF16, count / 2}, rank.stream);
    }
    if (kind == Kind::kSum) {
      return launch_all_reduce(
          rank.setup, {m.in, m.out, ElementType::kBF16, ElementType::kBF16, count}, rank.stream);
    }
    return launch_all_reduce_norm(rank.setup,
                                  {.in = m.in,
                                   .type = ElementType::kBF16,
                                   .norm_type = ElementType::kBF16,
                                   .residual = m.residual,
                                   .weight = m.weight,
                                   .out = m.out,
                                   .rows = count / kWidth,
                                   .width = kWidth},
                                  rank.stream);
  });
}

Times time_nccl(int size) {
  const Nccl* nccl = Nccl::get();
  std::vector<Nccl::Comm> comms(static_cast<size_t>(size));
  if (nccl == nullptr || nccl->comm_init_all(comms.data(), size, nullptr) != 0) {
    std::printf("(no NCCL: libnccl.so.2 cannot be loaded or refuses)\n");
    return {};
  }
  const auto group = RankGroup::make({.size = size});
  if (group == nullptr) return {};
  const Times times =
      time_sizes(*group, kMost, [&](RankGroup::Rank& rank, const Memory& m, size_t bytes) {
        const int failed =
            nccl->all_reduce(m.in, m.out, bytes / 2, Nccl::kBFloat16, Nccl::kSum,
                             comms[static_cast<size_t>(rank.setup.rank)], rank.stream);
        return failed == 0 ? cudaSuccess : cudaErrorUnknown;
      });
  for (Nccl::Comm comm : comms) nccl->comm_destroy(comm);
  return times;
}

void measure(int size, bool one_gpu) {
  std::printf(
      "%d %s: microseconds per call in a graph, bfloat16 but where float32 in becomes "
      "bfloat16, one shot up to %zu KB\n",
      size, one_gpu ? "ranks that share one GPU (shows that it runs, not how fast)" : "GPUs",
      default_one_shot_bytes(size) / 1024);
  const std::vector<std::pair<const char*, Times>> columns = {
      {"ours", time_ours(size, one_gpu, 0, Kind::kSum)},
      {"one shot", time_ours(size, one_gpu, kMostInOneShot, Kind::kSum)},
      {"two shots", time_ours(size, one_gpu, kLeast / 2, Kind::kSum)},
      {"f32>bf16", time_ours(size, one_gpu, 0, Kind::kSumOfFloat)},
      {"with norm", time_ours(size, one_gpu, 0, Kind::kNorm)},
      {"NCCL", one_gpu ? Times{} : time_nccl(size)}};
  std::printf("%8s", "KB");
  for (const auto& [name, times] : columns) std::printf(" %10s", name);
  std::printf(" %10s\n", "NCCL/ours");
  for (size_t row = 0; row < std::size(kSizes); ++row) {
    std::printf("%8zu", kSizes[row] / 1024);
    for (const auto& [name, times] : columns) {
      if (row < times.size()) {
        std::printf(" %10.2f", times[row]);
      } else {
        std::printf(" %10s", "-");
      }
    }
    const Times& ours = columns.front().second;
    const Times& nccl = columns.back().second;
    if (row < ours.size() && row < nccl.size()) std::printf(" %10.2f", nccl[row] / ours[row]);
    std::printf("\n");
  }
  std::fflush(stdout);
}

KERNEL_BENCH(all_reduce) {
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "device count");
  if (devices < 2) return measure(2, true);
  for (int size : {2, 4, 8}) {
    if (size <= devices) measure(size, false);
  }
}

}  // namespace
}  // namespace ernie::kernels::bench
