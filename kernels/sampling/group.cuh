#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/common/cluster.cuh"
#include "kernels/common/reduce.cuh"

// The blocks that work on one row: a thread block cluster that exchanges shared memory, or a single
// block.
namespace ernie::kernels::sampling {

constexpr int kBins = 1024;

struct Found {
  float value;
  int32_t id;
};

// What a block keeps in shared memory beside its slice of the row. Where there are two of a thing,
// uses alternate, so that a block may write for the next use while another still reads.
template <int kThreads, int kBlocks>
struct alignas(16) Shared {
  static constexpr int kWarps = kThreads / 32;
  uint32_t bins[kBins];
  double warp_mass[2][kWarps];
  double block_mass[2][2][kBlocks];  // [use][which][block]
  uint64_t warp_best[kWarps];
  uint64_t block_best[2][kBlocks];
  uint32_t warp_count[kWarps];
  uint32_t digit;
  uint32_t digit_rank;
  uint32_t digit_count;
  uint32_t top_count;
  Found found;
};

// The row as its group holds it. Block `rank` has the elements from rank * slice_length on; in a
// block, each warp has a range of warp_length neighbours. Everything that depends on an order goes
// by increasing id, and sums have one fixed order.
template <int kThreads, int kBlocks>
class Group {
 public:
  static constexpr int kWarps = kThreads / 32;
  using SharedMemory = Shared<kThreads, kBlocks>;

  __device__ Group(SharedMemory* shared, float* slice, int slice_length)
      : shared_(shared),
        slice_(slice),
        slice_length_(slice_length),
        warp_length_(slice_length / kWarps),
        rank_(kBlocks == 1 ? 0 : static_cast<int>(blockIdx.x)),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ int rank() const { return rank_; }
  __device__ int warp() const { return warp_; }
  __device__ int lane() const { return lane_; }
  __device__ int threads() const { return kThreads * kBlocks; }
  __device__ int thread() const { return rank_ * kThreads + static_cast<int>(threadIdx.x); }
  __device__ int warp_begin() const { return warp_ * warp_length_; }
  __device__ int warp_length() const { return warp_length_; }
  __device__ int first_id() const { return rank_ * slice_length_; }
  __device__ float* slice() const { return slice_; }

  __device__ void sync() const {
    if constexpr (kBlocks == 1) {
      __syncthreads();
    } else {
      cluster_sync();
    }
  }
  template <class T>
  __device__ T* peer(T* p, int rank) const {
    if constexpr (kBlocks == 1) {
      return p;
    } else {
      return cluster_address(p, rank);
    }
  }
  // Where element `id` of the row is, in whichever block.
  __device__ float* element(int id) const {
    const int owner = kBlocks == 1 ? 0 : id / slice_length_;
    return peer(slice_ + (id - owner * slice_length_), owner);
  }

  // body(float4& four, int id) for this thread's elements, by increasing id; four are neighbours.
  // What body leaves in `four` is stored when kStore.
  template <bool kStore, class Body>
  __device__ void for_each_four(Body body) const {
#pragma unroll 2
    for (int i = warp_begin() + 4 * lane_; i < warp_begin() + warp_length_; i += 128) {
      float4 four = *reinterpret_cast<const float4*>(slice_ + i);
      body(four, first_id() + i);
      if constexpr (kStore) *reinterpret_cast<float4*>(slice_ + i) = four;
    }
  }

  // The largest of all threads' values.
  __device__ uint64_t largest(uint64_t mine) {
    for (int offset = 16; offset > 0; offset /= 2) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, mine, offset);
      mine = other > mine ? other : mine;
    }
    if (lane_ == 0) shared_->warp_best[warp_] = mine;
    __syncthreads();
    best_use_ ^= 1;
    if (warp_ == 0 && lane_ < kBlocks) {
      uint64_t best = 0;
      for (int w = 0; w < kWarps; ++w) {
        best = shared_->warp_best[w] > best ? shared_->warp_best[w] : best;
      }
      *peer(&shared_->block_best[best_use_][rank_], lane_) = best;
    }
    sync();
    uint64_t best = 0;
    for (int b = 0; b < kBlocks; ++b) {
      const uint64_t other = shared_->block_best[best_use_][b];
      best = other > best ? other : best;
    }
    return best;
  }

  // Adds up two non-negative numbers of every thread; total() and locate() then refer to them.
  __device__ void add_up(double first, double second) {
    for (int offset = 16; offset > 0; offset /= 2) {
      first += __shfl_xor_sync(kAllLanes, first, offset);
      second += __shfl_xor_sync(kAllLanes, second, offset);
    }
    if (lane_ == 0) {
      shared_->warp_mass[0][warp_] = first;
      shared_->warp_mass[1][warp_] = second;
    }
    __syncthreads();
    mass_use_ ^= 1;
    // One lane for each of the two sums and each block to tell.
    if (warp_ == 0 && lane_ < 2 * kBlocks) {
      const int which = lane_ % 2;
      double sum = 0;
      for (int w = 0; w < kWarps; ++w) sum += shared_->warp_mass[which][w];
      *peer(&shared_->block_mass[mass_use_][which][rank_], lane_ / 2) = sum;
    }
    sync();
  }

  __device__ double total(int which) const {
    double sum = 0;
    for (int b = 0; b < kBlocks; ++b) sum += shared_->block_mass[mass_use_][which][b];
    return sum;
  }

  // The first element, by id, at which the running sum of mass(value, id) exceeds `target`; when
  // rounding carries the target past the end, the last with any mass. The threads' sums of mass
  // must have been given to add_up() as its number `which`, and must not be zero altogether.
  template <class Mass>
  __device__ Found locate(int which, double target, Mass mass) const {
    double before = 0;
    const double* blocks = shared_->block_mass[mass_use_][which];
    const int owner = range_of(blocks, kBlocks, target, before);
    if (owner == rank_) {
      const int owner_warp = range_of(shared_->warp_mass[which], kWarps, target, before);
      if (owner_warp == warp_) search_range(before, target, mass);
    }
    sync();
    return shared_->found;
  }

  // Of all elements by falling key(value, id), and by increasing id where keys are equal, the first
  // `wanted` are those with key > `key`, and those with key == `key` and id < `end`.
  struct Selection {
    uint32_t key;
    int32_t end;
  };
  template <class Key>
  __device__ Selection select(uint32_t wanted, Key key_of) {
    constexpr int kPasses = 4;
    constexpr int kShifts[kPasses] = {22, 12, 2, 0};
    uint32_t prefix = 0;
    uint32_t prefix_mask = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
      const int shift = kShifts[pass];
      const uint32_t digits = pass + 1 == kPasses ? 4 : kBins;
      count_digits(prefix, prefix_mask, shift, digits - 1, key_of);
      find_digit(wanted);
      prefix |= shared_->digit << shift;
      prefix_mask |= (digits - 1) << shift;
      wanted = shared_->digit_rank;
      if (shared_->digit_count == wanted) return {prefix, INT32_MAX};
    }
    // More have this key than are wanted.
    double equal = 0;
    for_each_four<false>([&](const float4& four, int id) {
      equal += (key_of(four.x, id) == prefix) + (key_of(four.y, id + 1) == prefix) +
               (key_of(four.z, id + 2) == prefix) + (key_of(four.w, id + 3) == prefix);
    });
    add_up(equal, 0);
    const Found last = locate(0, wanted - 0.5, [&](float value, int id) {
      return key_of(value, id) == prefix ? 1.0f : 0.0f;
    });
    return {prefix, last.id + 1};
  }

 private:
  // Which of `count` neighbouring ranges holds the target; adds what lies before it to `before`.
  __device__ static int range_of(const double* masses, int count, double target, double& before) {
    int range = 0;
    double sum = before;
    for (int i = 0; i < count; ++i) {
      const double mass = masses[i];
      if (mass > 0) {
        range = i;
        before = sum;
        if (sum + mass > target) break;
      }
      sum += mass;
    }
    return range;
  }

  // Finds the target in this warp's range and tells all blocks.
  template <class Mass>
  __device__ void search_range(double before, double target, Mass mass) const {
    Found last{};       // the last with mass among this lane's
    int last_lane = 0;  // whose `last` is the last of all
    bool done = false;
    for (int begin = 0; begin < warp_length_ && !done; begin += 128) {
      const int i = warp_begin() + begin + 4 * lane_;
      const int id = first_id() + i;
      float4 four{};
      float m[4] = {};
      if (begin + 4 * lane_ < warp_length_) {
        four = *reinterpret_cast<const float4*>(slice_ + i);
        m[0] = mass(four.x, id);
        m[1] = mass(four.y, id + 1);
        m[2] = mass(four.z, id + 2);
        m[3] = mass(four.w, id + 3);
      }
      const float own = (m[0] + m[1]) + (m[2] + m[3]);
      double through = own;
      for (int offset = 1; offset < 32; offset *= 2) {
        const double lower = __shfl_up_sync(kAllLanes, through, offset);
        if (lane_ >= offset) through += lower;
      }
      through += before;
      const unsigned with_mass = __ballot_sync(kAllLanes, own > 0);
      const unsigned past = __ballot_sync(kAllLanes, own > 0 && through > target);
      if (with_mass != 0) last_lane = 31 - __clz(static_cast<int>(with_mass));
      if (past != 0) {
        last_lane = __ffs(static_cast<int>(past)) - 1;
        done = true;
      }
      if (lane_ == last_lane && own > 0) {
        const float values[4] = {four.x, four.y, four.z, four.w};
        double sum = through - own;
        bool inside = true;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (inside && m[j] > 0) {
            last = {values[j], id + j};
            sum += m[j];
            inside = !(sum > target);
          }
        }
      }
      before = __shfl_sync(kAllLanes, through, 31);
    }
    last.value = __shfl_sync(kAllLanes, last.value, last_lane);
    last.id = __shfl_sync(kAllLanes, last.id, last_lane);
    if (lane_ < kBlocks) *peer(&shared_->found, lane_) = last;
  }

  // This block's histogram of the digit at `shift` over the keys that begin with `prefix`.
  template <class Key>
  __device__ void count_digits(uint32_t prefix, uint32_t prefix_mask, int shift,
                               uint32_t digit_mask, Key key_of) {
    for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kThreads) shared_->bins[i] = 0;
    __syncthreads();
    const auto count = [&](uint32_t key) {
      if ((key & prefix_mask) == prefix) atomicAdd(&shared_->bins[key >> shift & digit_mask], 1u);
    };
    for_each_four<false>([&](const float4& four, int id) {
      count(key_of(four.x, id));
      count(key_of(four.y, id + 1));
      count(key_of(four.z, id + 2));
      count(key_of(four.w, id + 3));
    });
    sync();
  }

  // Finds, in the group's histogram, the digit of the element of rank `wanted` (from 1) by falling
  // key: `digit`, its rank among those of that digit, and how many have it.
  __device__ void find_digit(uint32_t wanted) {
    constexpr int kOwn = kBins / kThreads;
    // Thread t has the bins from the top down, so that a scan over threads goes by falling key.
    const int top = kBins - 1 - static_cast<int>(threadIdx.x) * kOwn;
    uint32_t counts[kOwn] = {};
    for (int b = 0; b < kBlocks; ++b) {
      const uint32_t* bins = peer(shared_->bins, b);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) counts[i] += bins[top - i];
    }
    uint32_t own = 0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) own += counts[i];
    uint32_t through = own;
    for (int offset = 1; offset < 32; offset *= 2) {
      const uint32_t lower = __shfl_up_sync(kAllLanes, through, offset);
      if (lane_ >= offset) through += lower;
    }
    if (lane_ == 31) shared_->warp_count[warp_] = through;
    __syncthreads();
    uint32_t before = through - own;
    for (int w = 0; w < warp_; ++w) before += shared_->warp_count[w];
    if (before < wanted && wanted <= before + own) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        if (before < wanted && wanted <= before + counts[i]) {
          shared_->digit = static_cast<uint32_t>(top - i);
          shared_->digit_rank = wanted - before;
          shared_->digit_count = counts[i];
        }
        before += counts[i];
      }
    }
    sync();  // for the digit, and no block still reads another's bins
  }

  SharedMemory* shared_;
  float* slice_;
  int slice_length_;
  int warp_length_;
  int rank_;
  int warp_;
  int lane_;
  int best_use_ = 0;
  int mass_use_ = 0;
};

}  // namespace ernie::kernels::sampling
