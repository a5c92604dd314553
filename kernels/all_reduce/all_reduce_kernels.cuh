#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstring>

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
// Blocks, a cluster, that share a row where a norm follows; one before sm_90.
constexpr int kRowBlocks = 4;
constexpr int kMaxWidth = 12288;
constexpr size_t kMaxRowBytes = kMaxWidth * sizeof(float);

// How a rank's buffer is laid out. Epochs count the calls; what is written in one epoch is written
// to one half of its area, epoch % 2. A rank that starts epoch e has got something of epoch e - 1
// from every other rank, so they have ended epoch e - 2 and its half may be written again.
struct State {
  uint32_t epoch;   // of the last call that has ended; never 0 after the first
  uint32_t failed;  // a wait has given up
  uint32_t done;    // blocks of the running call that have ended
};
constexpr size_t kFlagsOffset = 256;
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
          // Shares are whole tiles, at most a row each.
          round_up(max_bytes / static_cast<size_t>(size) + 2 * kMaxRowBytes)};
}

// One call, as the kernels get it. The message is cut into tiles of neighbouring elements; with a
// norm, kRowBlocks or one of them make a row.
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
  int tile_elements;
  int64_t tiles;
  int64_t rank_tiles;  // two shots: tiles of a share
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
    const bool failed = load_volatile(&job_.state()->failed) != 0;
    const bool aborted = job_.abort != nullptr && load_volatile(job_.abort) != 0;
    const bool late = job_.time_limit_ms != nullptr &&
                      now - start_ns_ > uint64_t{1'000'000} * load_volatile(job_.time_limit_ms);
    if (!failed && !aborted && !late) return true;
    given_up_ = true;
    store_volatile(&job_.state()->failed, 1);
    if (job_.fault != nullptr && !failed) {
      store_volatile(job_.fault, static_cast<uint32_t>(peer + 1));
    }
    return false;
  }

 private:
  const Job& job_;
  bool given_up_;
  uint32_t looks_ = 0;
  uint64_t start_ns_ = 0;
};

struct Call {
  uint32_t epoch;
  bool failed;
};

// The same for all threads of a block, whatever happens to the state meanwhile.
__device__ Call begin_call(const Job& job) {
  __shared__ Call call;
  if (job.lets_next_start) let_next_kernel_start();
  wait_for_previous_kernel();
  if (threadIdx.x == 0) {
    const uint32_t next = load_volatile(&job.state()->epoch) + 1;
    // 0 is what unwritten memory holds; 2 has the same half.
    call = {next == 0 ? 2 : next, load_volatile(&job.state()->failed) != 0};
  }
  __syncthreads();
  return call;
}

// The last block to end counts the call; every block has read the epoch before it ends.
__device__ void end_call(const Job& job, uint32_t epoch) {
  __syncthreads();
  if (threadIdx.x != 0) return;
  State* state = job.state();
  if (atomicAdd(&state->done, 1u) == gridDim.x - 1) {
    store_volatile(&state->done, 0);
    store_volatile(&state->epoch, epoch);
  }
}

// Where the sum goes when no norm follows.
template <class T>
struct StoreSum {
  const Job& job;

  __device__ explicit StoreSum(const Job& j) : job(j) {}
  template <int N>
  __device__ void take(const float (&sum)[N], int64_t element, int) {
    store_vector(static_cast<T*>(job.out) + element, from_floats<T, N>(sum));
  }
  __device__ void end_tile(int64_t) {}
};

// residual += sum, then RMSNorm; the blocks of a row add up their squares. The order of the squares
// does not depend on N, the neighbours that a thread takes at a time, so that a row has the same
// bits in one shot and in two.
template <class R, int kSplit>
struct StoreNorm {
  const Job& job;
  float* kept;     // [tile_elements] of shared memory
  float* partial;  // [2][kSplit] of shared memory
  int use = 0;

  __device__ explicit StoreNorm(const Job& j) : job(j) {
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    partial = reinterpret_cast<float*>(shared_bytes);
    kept = partial + 2 * kRowBlocks;
    if constexpr (kSplit > 1) cluster_sync();  // every block of the row is there
  }
  template <int N>
  __device__ void take(const float (&sum)[N], int64_t element, int in_tile) {
    R* residual = static_cast<R*>(job.residual) + element;
    const Vector<R, N> before = load_vector<R, N>(residual);
    Vector<R, N> after;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      after.v[i] = from_float<R>(to_float(before.v[i]) + to_float(from_float<R>(sum[i])));
      kept[in_tile + i] = to_float(after.v[i]);
    }
    store_vector(residual, after);
  }
  __device__ void end_tile(int64_t tile) {
    constexpr int kElements = 4;  // a tile is a multiple of 8
    __syncthreads();
    float squares = 0;
    for (int i = static_cast<int>(threadIdx.x); i < job.tile_elements; i += kThreads) {
      squares += kept[i] * kept[i];
    }
    float total = block_sum<kThreads>(squares);
    if constexpr (kSplit > 1) {
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
    const int in_row = static_cast<int>(tile % kSplit) * job.tile_elements;
    for (int i = static_cast<int>(threadIdx.x) * kElements; i < job.tile_elements;
         i += kThreads * kElements) {
      const auto weight = load_vector<R, kElements>(static_cast<const R*>(job.weight) + in_row + i);
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
template <class T, class Store>
__global__ void __launch_bounds__(kThreads, 1) one_shot_kernel(const Job job) {
  constexpr int kWordElements = 4 / static_cast<int>(sizeof(T));
  const Call call = begin_call(job);
  const int half = static_cast<int>(call.epoch % 2);
  const auto* in = static_cast<const uint32_t*>(job.in);
  const int64_t words = job.count / kWordElements;
  const int tile_words = job.tile_elements / kWordElements;
  const int tile_lines = ceil_div(tile_words, kLineWords);
  Store store(job);
  Wait wait(job, call.failed);

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
  for (int64_t tile = blockIdx.x; tile < job.tiles; tile += gridDim.x) {
    for_each_line(tile, [&](int64_t at, const int(&in_tile)[kLineWords], int64_t first) {
      Line line = load_words(in_tile, first);
      line.epoch = call.epoch;
      for (int next = 1; next < job.size; ++next) {
        const int peer = (job.rank + next) % job.size;
        store_line(job.lines(peer, half, job.rank) + at, line);
      }
    });
  }
  for (int64_t tile = blockIdx.x; tile < job.tiles; tile += gridDim.x) {
    for_each_line(tile, [&](int64_t at, const int(&in_tile)[kLineWords], int64_t first) {
      Line lines[kMaxAllReduceRanks];
      const Line own = load_words(in_tile, first);
      int missing;
      do {
        missing = -1;
#pragma unroll
        for (int r = 0; r < kMaxAllReduceRanks; ++r) {
          if (r < job.size && r != job.rank) {
            lines[r] = load_line(job.lines(job.rank, half, r) + at);
          }
        }
#pragma unroll
        for (int r = 0; r < kMaxAllReduceRanks; ++r) {
          if (r < job.size && r != job.rank && lines[r].epoch != call.epoch) missing = r;
        }
      } while (missing >= 0 && wait.again(missing));
#pragma unroll
      for (int k = 0; k < kLineWords; ++k) {
        if (in_tile[k] < 0) continue;
        float sum[kWordElements] = {};
#pragma unroll
        for (int r = 0; r < kMaxAllReduceRanks; ++r) {
          if (r < job.size) {
            const uint32_t word = r == job.rank ? own.words[k] : lines[r].words[k];
            accumulate<T>(word, sum);
          }
        }
        store.take(sum, (first + in_tile[k]) * kWordElements, in_tile[k] * kWordElements);
      }
    });
    store.end_tile(tile);
  }
  end_call(job, call.epoch);
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

template <class T, class Store>
__global__ void __launch_bounds__(kThreads, 1) two_shot_kernel(const Job job) {
  constexpr int kUnit = 16 / static_cast<int>(sizeof(T));
  const Call call = begin_call(job);
  const int half = static_cast<int>(call.epoch % 2);
  const T* in = static_cast<const T*>(job.in);
  Store store(job);
  Wait wait(job, call.failed);

  // body(element, in_tile, unit in the share) for this block's part of one rank's share; then
  // end(tile) for each tile.
  const auto for_each_unit = [&](int owner, auto body, auto end) {
    for (int64_t t = blockIdx.x; t < job.rank_tiles; t += gridDim.x) {
      const int64_t tile = owner * job.rank_tiles + t;
      if (tile >= job.tiles) break;
      const int64_t first = tile * job.tile_elements;
      for (int i = static_cast<int>(threadIdx.x) * kUnit;
           i < job.tile_elements && first + i < job.count; i += kThreads * kUnit) {
        body(first + i, i, (t * job.tile_elements + i) / kUnit);
      }
      end(tile);
    }
  };
  const auto nothing = [](int64_t) {};

  for (int next = 1; next < job.size; ++next) {
    const int owner = (job.rank + next) % job.size;
    auto* to = reinterpret_cast<uint4*>(job.shares(owner, 0, half, job.rank));
    for_each_unit(
        owner,
        [&](int64_t element, int, int64_t unit) {
          to[unit] = *reinterpret_cast<const uint4*>(in + element);
        },
        nothing);
  }
  meet_blocks(job, 0, call.epoch, wait);

  for_each_unit(
      job.rank,
      [&](int64_t element, int, int64_t unit) {
        uint4 raw[kMaxAllReduceRanks];
#pragma unroll
        for (int r = 0; r < kMaxAllReduceRanks; ++r) {
          if (r < job.size) {
            raw[r] =
                r == job.rank
                    ? *reinterpret_cast<const uint4*>(in + element)
                    : load_volatile(
                          reinterpret_cast<const uint4*>(job.shares(job.rank, 0, half, r)) + unit);
          }
        }
        float sum[kUnit] = {};
#pragma unroll
        for (int r = 0; r < kMaxAllReduceRanks; ++r) {
          if (r < job.size) accumulate<T>(raw[r], sum);
        }
        const Vector<T, kUnit> rounded = from_floats<T, kUnit>(sum);
        uint4 result;
        memcpy(&result, &rounded, sizeof(result));
        for (int next = 0; next < job.size; ++next) {
          const int peer = (job.rank + next) % job.size;
          reinterpret_cast<uint4*>(job.shares(peer, 1, half, job.rank))[unit] = result;
        }
      },
      nothing);
  meet_blocks(job, 1, call.epoch, wait);

  for (int owner = 0; owner < job.size; ++owner) {
    const auto* from = reinterpret_cast<const uint4*>(job.shares(job.rank, 1, half, owner));
    for_each_unit(
        owner,
        [&](int64_t element, int in_tile, int64_t unit) {
          float sum[kUnit] = {};
          accumulate<T>(load_volatile(from + unit), sum);
          store.take(sum, element, in_tile);
        },
        [&](int64_t tile) { store.end_tile(tile); });
  }
  end_call(job, call.epoch);
}

// Every rank's part [rows, units of 16 bytes] beside the others', rank 0 leftmost.
__global__ void __launch_bounds__(kThreads, 1)
    all_gather_kernel(const Job job, int64_t units, int64_t row_units) {
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
  end_call(job, call.epoch);
}

}  // namespace
}  // namespace ernie::kernels
