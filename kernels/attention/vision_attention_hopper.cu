#include <cmath>

#include "kernels/attention/vision_attention_hopper.h"
#include "kernels/common/hopper.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"

// Attention inside segments on sm_90a, heads of up to 80: FlashAttention's running maximum and sum
// over tiles of keys (arXiv 2307.08691) on wgmma, in the manner of FlashAttention-3 (arXiv
// 2407.08608). One warpgroup copies tiles of keys and values; three have 64 query rows each in
// registers, and while one computes exponentials, the tensor cores work for the others.
namespace ernie::kernels::attention {
namespace {

constexpr int kDim = 80;
constexpr int kChunks = kDim / 8;  // 16-byte units of a row
constexpr int kWarpgroups = 3;     // with rows
constexpr int kThreads = 128 * (1 + kWarpgroups);
constexpr int kRows = 64 * kWarpgroups;
constexpr int kKeys = 96;  // of a tile
constexpr int kStages = 5;

// A tile in shared memory: 8x8 matrices of 128 bytes, for every 8 rows all chunks. They lie apart
// so that copies of a row use all banks.
constexpr uint32_t kMatrixBytes = 128 + 16;
constexpr uint32_t kGroupBytes = kChunks * kMatrixBytes;
constexpr uint32_t kTileBytes = kKeys / 8 * kGroupBytes;
constexpr uint32_t kStageBytes = 2 * kTileBytes;  // keys, then values
constexpr uint32_t kSharedBytes = kStages * kStageBytes;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kCopyRegisters = 32;
constexpr int kRowRegisters = 160;  // 128 * 32 + 384 * 160 of 512 * 128

// Of an operand without swizzle: its 8x8 matrices lie `leading` apart along k and `stride` along
// the rows, or the other way round where the operand is transposed. (PTX ISA, "Matrix descriptor".)
__device__ __forceinline__ uint64_t plain_descriptor(uint32_t address, uint32_t leading,
                                                     uint32_t stride) {
  return uint64_t{(address & 0x3ffff) >> 4} | uint64_t{leading >> 4} << 16 |
         uint64_t{stride >> 4} << 32;
}

struct Barriers {
  uint64_t full[kStages];   // the copying threads
  uint64_t empty[kStages];  // the warps with rows
};

// With the first warpgroup. Rows behind the last key and columns behind the head's become zeros.
__device__ __forceinline__ void copy_tiles(const __nv_bfloat16* keys, int64_t stride,
                                           int64_t to_values, int length, int head_dim,
                                           uint32_t stages, Barriers& barriers) {
  constexpr int kRowsAtOnce = 128 / kChunks;
  static_assert(kKeys % kRowsAtOnce == 0);
  const int chunk = static_cast<int>(threadIdx.x) % kChunks;
  const int own_row = static_cast<int>(threadIdx.x) / kChunks;
  const bool copies = own_row < kRowsAtOnce;
  RingPosition position;
  // Tiles under way. That one has come is found out here, with its fence, and not where it is read:
  // there it would hold up products.
  constexpr int kAhead = 3;
  static_assert(kAhead < kStages);
  RingPosition full;
  const auto hand_over = [&] {
    publish_to_async_proxy();
    arrive(barrier_of(barriers.full, full.stage));
    full.advance(kStages);
  };
  for (int first = 0; first < length; first += kKeys) {
    if (first >= kAhead * kKeys) {
      wait_for_copies<kAhead - 1>();
      hand_over();
    }
    wait_for_phase(barrier_of(barriers.empty, position.stage), position.parity ^ 1);
    const uint32_t to = stages + position.stage * kStageBytes + chunk * kMatrixBytes;
    if (copies) {
#pragma unroll
      for (int j = 0; j < kKeys / kRowsAtOnce; ++j) {
        const int row = own_row + j * kRowsAtOnce;
        const bool valid = first + row < length && chunk * 8 < head_dim;
        const __nv_bfloat16* from = keys + (valid ? (first + row) * stride + chunk * 8 : 0);
        const uint32_t place = to + row / 8 * kGroupBytes + row % 8 * 16;
        copy16_async(place, from, valid);
        copy16_async(place + kTileBytes, from + to_values, valid);
      }
    }
    commit_copies();
    position.advance(kStages);
  }
  wait_for_copies<0>();
  for (int tile = 0; tile < kAhead && tile * kKeys < length; ++tile) hand_over();
}

// The running maximum, sum and results of rows g and g + 8 of a thread's warp.
struct Rows {
  float sums[kDim / 2] = {};
  float top[2] = {-INFINITY, -INFINITY};
  float total[2] = {};
};

// Turns scores into weights, of keys below `visible`. What `rows.sums` must be multiplied by then
// is in `rescale`; false: by 1, for all rows of the warp.
__device__ __forceinline__ bool weigh(float (&scores)[kKeys / 2], int visible, float scale_log2,
                                      Rows& rows, float (&rescale)[2]) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
  if (visible < kKeys) {
#pragma unroll
    for (int i = 0; i < kKeys / 2; ++i) {
      if (i / 4 * 8 + column + i % 2 >= visible) scores[i] = -INFINITY;
    }
  }
  bool changed = false;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    // Several maxima and sums at once: one alone would be a long chain.
    constexpr int kChains = 4;
    float part[kChains];
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      const float pair = fmaxf(scores[4 * n + 2 * half], scores[4 * n + 2 * half + 1]);
      part[n % kChains] = n < kChains ? pair : fmaxf(part[n % kChains], pair);
    }
    float largest = fmaxf(fmaxf(part[0], part[1]), fmaxf(part[2], part[3]));
    largest = fmaxf(largest, rows.top[half]);
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    // Rounded products: contracted with the subtraction, equal maxima would not give exactly 1.
    const float scaled = __fmul_rn(largest, scale_log2);
    rescale[half] = fast_exp2(__fmul_rn(rows.top[half], scale_log2) - scaled);
    changed |= rows.top[half] != largest;
    rows.top[half] = largest;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      float& x = scores[4 * n + 2 * half];
      float& y = scores[4 * n + 2 * half + 1];
      x = fast_exp2(fmaf(x, scale_log2, -scaled));
      y = fast_exp2(fmaf(y, scale_log2, -scaled));
      part[n % kChains] = n < kChains ? x + y : part[n % kChains] + (x + y);
    }
    rows.total[half] =
        rows.total[half] * rescale[half] + ((part[0] + part[1]) + (part[2] + part[3]));
  }
  return __any_sync(kAllLanes, changed);
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Warpgroups with rows ask for products in turns: so the products of one come together, and it
// computes exponentials while those of the others are multiplied.
class Turns {
 public:
  __device__ explicit Turns(int length)
      : own_(static_cast<int>(threadIdx.x) / 128), left_((length + kKeys - 1) / kKeys - 1) {
    if (own_ == kWarpgroups && left_ > 0) arrive_at(1);
  }
  __device__ void take() {
    asm volatile("bar.sync %0, 256;" ::"r"(own_) : "memory");
    --left_;
  }
  // Nobody takes the turn after the last one.
  __device__ void pass() const {
    if (own_ < kWarpgroups) {
      arrive_at(own_ + 1);
    } else if (left_ > 0) {
      arrive_at(1);
    }
  }

 private:
  static __device__ void arrive_at(int barrier) {
    asm volatile("bar.arrive %0, 256;" ::"r"(barrier) : "memory");
  }

  int own_;  // 1 to kWarpgroups, like the barriers
  int left_;
};

// With a warpgroup that has rows: those from `first_row` on.
__device__ __forceinline__ void attend_rows(const VisionAttentionParams& p, float scale_log2,
                                            int begin, int length, int first_row, uint32_t stages,
                                            Barriers& barriers) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int own_row = first_row + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const int own_column = lane % 4 * 2;
  const int64_t width = int64_t{p.heads} * p.head_dim;
  const int64_t head = int64_t{blockIdx.y} * p.head_dim;
  const __nv_bfloat16* queries =
      static_cast<const __nv_bfloat16*>(p.qkv) + begin * 3 * width + head;
  uint32_t query[kDim / 16][4];
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = own_row + i % 2 * 8;
      const int column = 16 * k + i / 2 * 8 + own_column;
      query[k][i] = row < length && column < p.head_dim
                        ? *reinterpret_cast<const uint32_t*>(queries + row * 3 * width + column)
                        : 0;
    }
  }

  float scores[kKeys / 2];
  uint32_t weights[kKeys / 16][4];
  Rows rows;
  RingPosition position;   // of the tile whose scores come next
  uint32_t values_at = 0;  // the stage whose values are multiplied
  const auto wait_for_tile = [&] {
    wait_for_phase(barrier_of(barriers.full, position.stage), position.parity);
  };
  const auto begin_scores = [&] {
    const uint64_t keys =
        plain_descriptor(stages + position.stage * kStageBytes, kMatrixBytes, kGroupBytes);
    begin_products();
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      multiply_64xNx16(scores, query[k], keys + (2 * k * kMatrixBytes >> 4), k > 0);
    }
    commit_products();
  };
  const auto begin_values = [&] {
    const uint64_t values =
        plain_descriptor(stages + values_at * kStageBytes + kTileBytes, kGroupBytes, kMatrixBytes);
    begin_products();
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      multiply_64xNx16_transposed(rows.sums, weights[k], values + (2 * k * kGroupBytes >> 4));
    }
    commit_products();
  };
  const auto pack_weights = [&] {
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weights[k][i] = pack_bf16(scores[8 * k + 2 * i], scores[8 * k + 2 * i + 1]);
      }
    }
  };
  Turns turns(length);
  float rescale[2];
  wait_for_tile();
  begin_scores();
  wait_for_products<0>();
  pin(scores);
  weigh(scores, length, scale_log2, rows, rescale);
  pack_weights();
  for (int first = kKeys; first < length; first += kKeys) {
    position.advance(kStages);
    wait_for_tile();
    turns.take();
    begin_scores();
    begin_values();
    turns.pass();
    wait_for_products<1>();
    pin(scores);
    const bool changed = weigh(scores, length - first, scale_log2, rows, rescale);
    // Never true; without a branch the assembler weighs after the wait.
    if (rows.total[0] + rows.total[1] < 0) return;
    wait_for_products<0>();
    pin(rows.sums);
    if (lane == 0) arrive(barrier_of(barriers.empty, values_at));
    if (changed) {
#pragma unroll
      for (int i = 0; i < kDim / 2; ++i) rows.sums[i] *= rescale[i / 2 % 2];
    }
    pack_weights();
    values_at = position.stage;
  }
  begin_values();
  wait_for_products<0>();
  pin(rows.sums);

  __nv_bfloat16* out = static_cast<__nv_bfloat16*>(p.out) + begin * width + head;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = rows.total[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const float inverse = 1.0f / sum;
    const int row = own_row + half * 8;
    if (row >= length) continue;
#pragma unroll
    for (int n = 0; n < kChunks; ++n) {
      if (8 * n >= p.head_dim) continue;
      *reinterpret_cast<uint32_t*>(out + row * width + 8 * n + own_column) = pack_bf16(
          rows.sums[4 * n + 2 * half] * inverse, rows.sums[4 * n + 2 * half + 1] * inverse);
    }
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

__global__ void __launch_bounds__(kThreads, 1)
    segment_kernel(const __grid_constant__ VisionAttentionParams p, float scale_log2) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ Barriers barriers;
  let_next_kernel_start();
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      init_barrier(barrier_of(barriers.full, s), 128);
      init_barrier(barrier_of(barriers.empty, s), 4 * kWarpgroups);
    }
  }
  __syncthreads();
  wait_for_previous_kernel();
  const int begin = p.segment_start[blockIdx.z];
  const int length = p.segment_start[blockIdx.z + 1] - begin;
  const int first_row = static_cast<int>(blockIdx.x) * kRows;
  if (first_row >= length) return;
  const uint32_t stages = shared_address(shared);
  const int warpgroup = static_cast<int>(threadIdx.x) / 128;
  if (warpgroup == 0) {
    give_up_registers<kCopyRegisters>();
    const int64_t width = int64_t{p.heads} * p.head_dim;
    const __nv_bfloat16* keys = static_cast<const __nv_bfloat16*>(p.qkv) + (3 * begin + 1) * width +
                                int64_t{blockIdx.y} * p.head_dim;
    copy_tiles(keys, 3 * width, width, length, p.head_dim, stages, barriers);
  } else {
    take_registers<kRowRegisters>();
    attend_rows(p, scale_log2, begin, length, first_row + 64 * (warpgroup - 1), stages, barriers);
  }
#endif
}

}  // namespace

cudaError_t launch_vision_hopper(const VisionAttentionParams& p, float scale_log2,
                                 cudaStream_t stream) {
  if (const cudaError_t error = allow_shared_memory(segment_kernel, kSharedBytes);
      error != cudaSuccess) {
    return error;
  }
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(ceil_div(p.max_segment, kRows)),
                   static_cast<unsigned>(p.heads), static_cast<unsigned>(p.segments)),
      .block = dim3(kThreads),
      .shared_bytes = kSharedBytes,
      .overlap_previous = true};
  return launch(segment_kernel, shape, stream, p, scale_log2);
}

}  // namespace ernie::kernels::attention
