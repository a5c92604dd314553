#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstring>
#include <type_traits>

#include "kernels/all_reduce/all_reduce.h"
#include "kernels/all_reduce/system_memory.cuh"
#include "kernels/common/cluster.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"

// How the ranks exchange: what lies where in their buffers, how one waits for another, and the
// kernels of one shot, two shots and gathering. For all_reduce.cu alone.
namespace ernie::kernels {
namespace {

constexpr int kThreads = 512;
// The kernels are for groups of up to kRanks, 2 or all: two ranks would lose a fifth of their speed
// in loops over eight. Blocks that a multiprocessor holds, for a thread has registers for each
// rank:
constexpr int resident_blocks(int ranks) { return ranks <= 2 ? 2 : 1; }
// Blocks, a cluster, that share a row where a norm follows; one before sm_90.
constexpr int kMaxRowBlocks = 4;
constexpr int kMaxWidth = 12288;

// How a rank's buffer is laid out. Epochs count the calls; what is written in one epoch is written
// to one half of its area, epoch % 2. A rank that starts epoch e has got something of epoch e - 1
// from every other rank, so they have ended epoch e - 2 and its half may be written again.
struct State {
  uint32_t failed;      // a wait has given up
  uint32_t checked_ms;  // when a thread last asked the host whether to wait on
  // Of the last call, a copy for each block of the next: no block writes another's before that has
  // read it. Not 0 after the first call.
  uint32_t epoch[kMaxAllReduceBlocks];
};
constexpr size_t kFlagsOffset = (sizeof(State) + 255) / 256 * 256;
constexpr size_t kFlagsBytes =
    2 * sizeof(uint32_t) * kMaxAllReduceBlocks * kMaxAllReduceRanks;  // [shot][block][source]
constexpr size_t kAreasOffset = kFlagsOffset + kFlagsBytes;

struct Areas {
  size_t line_bytes;   // of one source's lines: [half][source]
  size_t share_bytes;  // of one rank's share of a message: [half][source], then [half][owner]
};
Areas areas(int size, size_t max_bytes, size_t one_shot_bytes) {
  const auto round_up = [](size_t bytes) { return (bytes + 255) / 256 * 256; };
  // Two lines hold the least tile, 16 bytes; longer ones take less than twice their bytes.
  return {round_up(2 * one_shot_bytes),
          // A share is a whole number of units, at most one more than its part.
          round_up(max_bytes / static_cast<size_t>(size) + 16)};
}

// One call, as the kernels get it.
struct Job {
  int rank;
  int size;
  bool lets_next_start;  // early
  unsigned char* buffers[kMaxAllReduceRanks];
  Areas areas;
  const uint32_t* abort;
  const uint32_t* time_limit_ms;
  uint32_t* fault;
  const void* in;
  void* out;
  int64_t count;
  // One shot: the message is cut into tiles of neighbouring elements; with a norm, 1 to
  // kMaxRowBlocks of them make a row.
  int tile_elements;
  int64_t tiles;
  int64_t share_units;  // two shots: a share is so many times 16 bytes of `in`
  // The norm.
  void* residual;
  const void* weight;
  int width;
  float eps;

  __device__ Line* lines(int at, int half, int source) const {
    return reinterpret_cast<Line*>(buffers[at] + kAreasOffset +
                                   static_cast<size_t>(half * size + source) * areas.line_bytes);
  }
  __device__ unsigned char* shares(int at, int shot, int half, int source_or_owner) const {
    const int slot = (shot * 2 + half) * size + source_or_owner;
    return buffers[at] + kAreasOffset + static_cast<size_t>(2 * size) * areas.line_bytes +
           static_cast<size_t>(slot) * areas.share_bytes;
  }
  __device__ uint32_t* flag(int at, int shot, int source) const {
    return reinterpret_cast<uint32_t*>(buffers[at] + kFlagsOffset) +
           (shot * kMaxAllReduceBlocks + static_cast<int>(blockIdx.x)) * kMaxAllReduceRanks +
           source;
  }
  __device__ State* state() const { return reinterpret_cast<State*>(buffers[rank]); }
};

// A thread's patience.
class Wait {
 public:
  __device__ Wait(const Job& job, bool failed) : job_(job), given_up_(failed) {}

  // Whether to look again for what has not come yet from `peer`.
  __device__ bool again(int peer) {
    constexpr uint32_t kLooksBetweenChecks = 1024;  // about half a millisecond
    if (given_up_) return false;
    if (++looks_ % kLooksBetweenChecks != 0) return true;
    const uint64_t now = clock_ns();
    if (start_ns_ == 0) start_ns_ = now;
    given_up_ = load_volatile(&job_.state()->failed) != 0 || must_give_up(peer, now);
    return !given_up_;
  }

 private:
  // The host's memory is far: if all threads that wait read it, that takes longer than they waited,
  // the other rank's then wait that long, and so on. So one does in a millisecond.
  __device__ bool must_give_up(int peer, uint64_t now) {
    uint32_t* checked_ms = &job_.state()->checked_ms;
    const auto now_ms = static_cast<uint32_t>(now / 1'000'000);
    if (load_volatile(checked_ms) == now_ms || atomicExch(checked_ms, now_ms) == now_ms) {
      return false;
    }
    const bool aborted = job_.abort != nullptr && load_volatile(job_.abort) != 0;
    const bool late = job_.time_limit_ms != nullptr &&
                      now - start_ns_ > uint64_t{1'000'000} * load_volatile(job_.time_limit_ms);
    if (!aborted && !late) return false;
    store_volatile(&job_.state()->failed, 1);
    if (job_.fault != nullptr) store_volatile(job_.fault, static_cast<uint32_t>(peer + 1));
    return true;
  }

  const Job& job_;
  bool given_up_;
  uint32_t looks_ = 0;
  uint64_t start_ns_ = 0;
};

struct Call {
  uint32_t epoch;
  bool failed;
};

// Reads the state, the same for all threads of a block, and counts the call. After the wait for the
// previous kernel.
__device__ Call begin_call(const Job& job) {
  __shared__ Call call;
  State* state = job.state();
  if (threadIdx.x == 0) {
    const uint32_t next = load_volatile(&state->epoch[blockIdx.x]) + 1;
    // 0 is what unwritten memory holds; 2 has the same half.
    call = {next == 0 ? 2 : next, load_volatile(&state->failed) != 0};
  }
  __syncthreads();
  for (unsigned i = blockIdx.x + threadIdx.x * gridDim.x; i < kMaxAllReduceBlocks;
       i += blockDim.x * gridDim.x) {
    state->epoch[i] = call.epoch;
  }
  return call;
}

// Where the sum goes when no norm follows.
template <class Out>
struct StoreSum {
  struct Before {};
  const Job& job;

  __device__ explicit StoreSum(const Job& j) : job(j) {}
  template <int N>
  __device__ Before before(int64_t) {
    return {};
  }
  template <int N>
  __device__ void take(const float (&sum)[N], Before, int64_t element, int) {
    store_vector(static_cast<Out*>(job.out) + element, from_floats<Out, N>(sum));
  }
  __device__ void end_tile(int64_t) {}
};

// residual += sum, then RMSNorm; the blocks of a row add up their squares. What lies ready is read
// before the sum is waited for.
template <class R, int kSplit>
struct StoreNorm {
  static constexpr int kElements = 4;  // a tile is a multiple of 8
  const Job& job;
  float* kept;     // [tile_elements] of shared memory
  float* partial;  // [2][kSplit] of shared memory
  float squares = 0;
  int use = 0;
  bool all_there = false;              // the blocks of the row
  Vector<R, kElements> first_weights;  // of the thread's first elements of the tile

  // Before the wait for the previous kernel.
  __device__ explicit StoreNorm(const Job& j) : job(j) {
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    partial = reinterpret_cast<float*>(shared_bytes);
    kept = partial + 2 * kMaxRowBlocks;
    if constexpr (kSplit > 1) cluster_arrive();
    const int i = static_cast<int>(threadIdx.x) * kElements;
    if (i < job.tile_elements) first_weights = weights(i);
  }
  // Tiles go round over the blocks in whole rows, so a block always has the same part of a row.
  __device__ Vector<R, kElements> weights(int in_tile) const {
    const int in_row = static_cast<int>(blockIdx.x % kSplit) * job.tile_elements;
    return load_vector<R, kElements>(static_cast<const R*>(job.weight) + in_row + in_tile);
  }
  template <int N>
  __device__ Vector<R, N> before(int64_t element) {
    return load_vector<R, N>(static_cast<const R*>(job.residual) + element);
  }
  template <int N>
  __device__ void take(const float (&sum)[N], const Vector<R, N>& before, int64_t element,
                       int in_tile) {
    Vector<R, N> after;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      after.v[i] = from_float<R>(to_float(before.v[i]) + to_float(from_float<R>(sum[i])));
      const float x = to_float(after.v[i]);
      kept[in_tile + i] = x;
      squares += x * x;
    }
    store_vector(static_cast<R*>(job.residual) + element, after);
  }
  __device__ void end_tile(int64_t tile) {
    float total = block_sum<kThreads>(squares);
    squares = 0;
    if constexpr (kSplit > 1) {
      if (!all_there) cluster_wait();
      all_there = true;
      use ^= 1;
      const int own = static_cast<int>(blockIdx.x) % kSplit;
      if (threadIdx.x < kSplit) {
        *cluster_address(&partial[use * kSplit + own], static_cast<int>(threadIdx.x)) = total;
      }
      cluster_sync();
      total = 0;
      for (int b = 0; b < kSplit; ++b) total += partial[use * kSplit + b];
    }
    const float scale = 1.0f / sqrtf(total / static_cast<float>(job.width) + job.eps);
    const int64_t first = tile * job.tile_elements;
    const int own = static_cast<int>(threadIdx.x) * kElements;
    for (int i = own; i < job.tile_elements; i += kThreads * kElements) {
      const auto weight = i == own ? first_weights : weights(i);
      Vector<R, kElements> out;
#pragma unroll
      for (int j = 0; j < kElements; ++j) {
        out.v[j] = from_float<R>(kept[i + j] * scale * to_float(weight.v[j]));
      }
      store_vector(static_cast<R*>(job.out) + first + i, out);
    }
    __syncthreads();  // `kept` is free for the next tile
  }
};

// Adds neighbours to the sum; raw memory of T.
template <class T, int N, class Raw>
__device__ __forceinline__ void accumulate(const Raw& raw, float (&sum)[N]) {
  static_assert(sizeof(Raw) == sizeof(T) * N);
  T x[N];
  memcpy(x, &raw, sizeof(raw));
#pragma unroll
  for (int i = 0; i < N; ++i) sum[i] += to_float(x[i]);
}

// Grid: blocks that go round over the tiles; with a norm and kSplit > 1 in clusters of kSplit.
template <class T, class Store, int kRanks>
__global__ void __launch_bounds__(kThreads, resident_blocks(kRanks))
    one_shot_kernel(const Job job) {
  constexpr int kWordElements = 4 / static_cast<int>(sizeof(T));
  const auto* in = static_cast<const uint32_t*>(job.in);
  const int64_t words = job.count / kWordElements;
  const int tile_words = job.tile_elements / kWordElements;
  const int tile_lines = ceil_div(tile_words, kLineWords);
  if (job.lets_next_start) let_next_kernel_start();
  Store store(job);

  // body(line, in_tile, first): the words of a line are in_tile[0..2] of a tile that begins at
  // word `first`; -1 past its end. They are apart, so that neighbouring threads have neighbours.
  const auto for_each_line = [&](int64_t tile, auto body) {
    const int64_t first = tile * tile_words;
    const int count = static_cast<int>(min(static_cast<int64_t>(tile_words), words - first));
    const int lines = ceil_div(count, kLineWords);
    for (int i = static_cast<int>(threadIdx.x); i < lines; i += kThreads) {
      int in_tile[kLineWords];
#pragma unroll
      for (int k = 0; k < kLineWords; ++k) {
        const int at = i + k * lines;
        in_tile[k] = at < count ? at : -1;
      }
      body(tile * tile_lines + i, in_tile, first);
    }
  };
  const auto load_words = [&](const int(&in_tile)[kLineWords], int64_t first) {
    Line line{};
#pragma unroll
    for (int k = 0; k < kLineWords; ++k) {
      if (in_tile[k] >= 0) line.words[k] = in[first + in_tile[k]];
    }
    return line;
  };
  wait_for_previous_kernel();
  // The first line is on its way while the state is read.
  Line first_line{};
  const int64_t first_at = blockIdx.x * int64_t{tile_lines} + threadIdx.x;
  for_each_line(blockIdx.x, [&](int64_t at, const int(&in_tile)[kLineWords], int64_t first) {
    if (at == first_at) first_line = load_words(in_tile, first);
  });
  const Call call = begin_call(job);
  const int half = static_cast<int>(call.epoch % 2);
  Wait wait(job, call.failed);
  for (int64_t tile = blockIdx.x; tile < job.tiles; tile += gridDim.x) {
    for_each_line(tile, [&](int64_t at, const int(&in_tile)[kLineWords], int64_t first) {
      Line line = at == first_at ? first_line : load_words(in_tile, first);
      line.epoch = call.epoch;
      for (int next = 1; next < job.size; ++next) {
        const int peer = (job.rank + next) % job.size;
        store_line(job.lines(peer, half, job.rank) + at, line);
      }
    });
  }
  for (int64_t tile = blockIdx.x; tile < job.tiles; tile += gridDim.x) {
    for_each_line(tile, [&](int64_t at, const int(&in_tile)[kLineWords], int64_t first) {
      Line lines[kRanks];
      const Line own = at == first_at ? first_line : load_words(in_tile, first);
      decltype(store.template before<kWordElements>(0)) before[kLineWords];
#pragma unroll
      for (int k = 0; k < kLineWords; ++k) {
        if (in_tile[k] < 0) continue;
        before[k] = store.template before<kWordElements>((first + in_tile[k]) * kWordElements);
      }
      int missing;
      do {
        missing = -1;
#pragma unroll
        for (int r = 0; r < kRanks; ++r) {
          if (r < job.size && r != job.rank) {
            lines[r] = load_line(job.lines(job.rank, half, r) + at);
          }
        }
#pragma unroll
        for (int r = 0; r < kRanks; ++r) {
          if (r < job.size && r != job.rank && lines[r].epoch != call.epoch) missing = r;
        }
      } while (missing >= 0 && wait.again(missing));
#pragma unroll
      for (int k = 0; k < kLineWords; ++k) {
        if (in_tile[k] < 0) continue;
        float sum[kWordElements] = {};
#pragma unroll
        for (int r = 0; r < kRanks; ++r) {
          if (r < job.size) {
            const uint32_t word = r == job.rank ? own.words[k] : lines[r].words[k];
            accumulate<T>(word, sum);
          }
        }
        store.take(sum, before[k], (first + in_tile[k]) * kWordElements,
                   in_tile[k] * kWordElements);
      }
    });
    store.end_tile(tile);
  }
}

// Tells every other rank's block of this number that what it needs of this block's is written, and
// waits until all of them have told the same.
__device__ void meet_blocks(const Job& job, int shot, uint32_t epoch, Wait& wait) {
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < job.size && peer != job.rank) {
    store_release(job.flag(peer, shot, job.rank), epoch);
    // A peer may have gone on to the next call, whose epoch is larger by 1, or by 3 where it would
    // be 0. No comparison of signs: a block that few calls have may hold an epoch, or 0, that is
    // more than half the range behind.
    while (load_acquire(job.flag(job.rank, shot, peer)) - epoch > 3 && wait.again(peer)) {
    }
  }
  __syncthreads();
}

// Every rank adds up its share of the units, 16 bytes of `in` each, and hands the sums round, as
// Out.
template <class T, class Out, int kRanks>
__global__ void __launch_bounds__(kThreads, resident_blocks(kRanks))
    two_shot_kernel(const Job job) {
  constexpr int kUnit = 16 / static_cast<int>(sizeof(T));
  constexpr int kBatch = 2;  // units that a thread has under way
  using Sums = Vector<Out, kUnit>;
  using RawSums = std::conditional_t<sizeof(Sums) == 16, uint4, uint2>;
  if (job.lets_next_start) let_next_kernel_start();
  wait_for_previous_kernel();
  const Call call = begin_call(job);
  const int half = static_cast<int>(call.epoch % 2);
  const T* in = static_cast<const T*>(job.in);
  const int64_t units = job.count / kUnit;
  Wait wait(job, call.failed);

  // store(unit, i, load(unit, i)) for this thread's units of one rank's share: their numbers in the
  // message and in the share.
  const auto for_each_unit = [&](int owner, auto load, auto store) {
    const int64_t first = owner * job.share_units;
    const int64_t end = min(job.share_units, units - first);
    const int64_t step = int64_t{gridDim.x} * kThreads;
    for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < end; i += kBatch * step) {
      decltype(load(0, 0)) batch[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int64_t at = i + b * step;
        if (at < end) batch[b] = load(first + at, at);
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int64_t at = i + b * step;
        if (at < end) store(first + at, at, batch[b]);
      }
    }
  };
  const auto load_in = [&](int64_t unit, int64_t) {
    return *reinterpret_cast<const uint4*>(in + unit * kUnit);
  };

  for (int next = 1; next < job.size; ++next) {
    const int owner = (job.rank + next) % job.size;
    auto* to = reinterpret_cast<uint4*>(job.shares(owner, 0, half, job.rank));
    for_each_unit(owner, load_in, [&](int64_t, int64_t i, const uint4& raw) { to[i] = raw; });
  }
  meet_blocks(job, 0, call.epoch, wait);

  for_each_unit(
      job.rank,
      [&](int64_t unit, int64_t i) {
        uint4 raw[kRanks];
#pragma unroll
        for (int r = 0; r < kRanks; ++r) {
          if (r >= job.size) continue;
          const auto* part = reinterpret_cast<const uint4*>(job.shares(job.rank, 0, half, r)) + i;
          raw[r] = r == job.rank ? load_in(unit, i) : load_volatile(part);
        }
        float sum[kUnit] = {};
#pragma unroll
        for (int r = 0; r < kRanks; ++r) {
          if (r < job.size) accumulate<T>(raw[r], sum);
        }
        return from_floats<Out, kUnit>(sum);
      },
      [&](int64_t unit, int64_t i, const Sums& sums) {
        for (int next = 1; next < job.size; ++next) {
          const int peer = (job.rank + next) % job.size;
          reinterpret_cast<Sums*>(job.shares(peer, 1, half, job.rank))[i] = sums;
        }
        store_vector(static_cast<Out*>(job.out) + unit * kUnit, sums);
      });
  meet_blocks(job, 1, call.epoch, wait);

  for (int next = 1; next < job.size; ++next) {
    const int owner = (job.rank + next) % job.size;
    const auto* from = reinterpret_cast<const RawSums*>(job.shares(job.rank, 1, half, owner));
    for_each_unit(
        owner, [&](int64_t, int64_t i) { return load_volatile(from + i); },
        [&](int64_t unit, int64_t, const RawSums& raw) {
          static_cast<RawSums*>(job.out)[unit] = raw;
        });
  }
}

// Every rank's part [rows, units of 16 bytes] beside the others', rank 0 leftmost.
__global__ void __launch_bounds__(kThreads, 1)
    all_gather_kernel(const Job job, int64_t units, int64_t row_units) {
  if (job.lets_next_start) let_next_kernel_start();
  wait_for_previous_kernel();
  const Call call = begin_call(job);
  const int half = static_cast<int>(call.epoch % 2);
  const auto* part = static_cast<const uint4*>(job.in);
  auto* out = static_cast<uint4*>(job.out);
  Wait wait(job, call.failed);
  const int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t step = int64_t{gridDim.x} * kThreads;
  const auto place = [&](int source, int64_t unit) {
    return out + (unit / row_units * job.size + source) * row_units + unit % row_units;
  };
  for (int64_t unit = first; unit < units; unit += step) {
    const uint4 data = part[unit];
    *place(job.rank, unit) = data;
    for (int next = 1; next < job.size; ++next) {
      const int peer = (job.rank + next) % job.size;
      reinterpret_cast<uint4*>(job.shares(peer, 1, half, job.rank))[unit] = data;
    }
  }
  meet_blocks(job, 1, call.epoch, wait);
  for (int next = 1; next < job.size; ++next) {
    const int source = (job.rank + next) % job.size;
    const auto* from = reinterpret_cast<const uint4*>(job.shares(job.rank, 1, half, source));
    for (int64_t unit = first; unit < units; unit += step) {
      *place(source, unit) = load_volatile(from + unit);
    }
  }
}

}  // namespace
}  // namespace ernie::kernels
