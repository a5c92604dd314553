#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/elementwise/activation.cuh"
#include "kernels/linear/linear.h"

namespace ernie::kernels {
namespace {

// A block computes tiles of 16 * kRowTiles outputs for 8 * kTokenTiles tokens, one after the other,
// and streams W through shared memory with asynchronous copies that run ahead across tiles. The
// eight warps take turns at pieces of kPiece input features; their sums are added in the order of
// the warps. So for each output the order of all additions is fixed by in_features.
//
// W [out, in] is the row-major operand of mma.m16n8k16 and x [tokens, in] the column-major one.
// Each thread copies 16 bytes of a row, eight neighbouring features, and gives them to two
// products: the same features of W and x meet, only numbered otherwise than in the instruction's
// definition, which a sum does not notice. Every thread reads back what it copied itself, so no
// barrier is needed.
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kPiece = 64;  // input features; half of it at a time, 8 for each of 4 lanes

template <int kRowTiles, int kTokenTiles>
struct Shape {
  static constexpr int kWeightSlots = 4 * kRowTiles;  // rows g and g + 8, both halves
  static constexpr int kTokenSlots = 2 * kTokenTiles;
  static constexpr int kSlots = kWeightSlots + kTokenSlots;
  static constexpr int kOutputs = 16 * kRowTiles;
  static constexpr int kTokens = 8 * kTokenTiles;
  static constexpr int kPitch = kOutputs + 1;
  static constexpr size_t kStageBytes = size_t{kSlots} * kThreads * 16;
  // As many as leave room for kBlocksPerSm blocks in 228 KB, or for one in the 163 KB of sm_80.
  static constexpr int kBlocksPerSm = kRowTiles == 1 ? 2 : 1;
  static constexpr int kStages = kRowTiles == 1 && kTokenTiles == 1 ? 4 : 3;
  static constexpr size_t kSumBytes = size_t{kWarps} * kTokens * kPitch * 4;
  static constexpr size_t kSharedBytes = kStages * kStageBytes + kSumBytes;
};

__device__ __forceinline__ void copy16_async(uint4* to, const __nv_bfloat16* from, bool inside) {
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = inside ? 16 : 0;  // what is not copied is zero
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
               "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void end_copy_group() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void wait_for_copy_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// sum[outputs, tokens] += a[outputs, 16] * b[16, tokens]
__device__ __forceinline__ void multiply_add(float (&sum)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                             uint32_t a3, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

template <int kRowTiles, int kTokenTiles>
__global__ __launch_bounds__(
    kThreads, Shape<kRowTiles, kTokenTiles>::kBlocksPerSm) void small_kernel(LinearParams p) {
  using S = Shape<kRowTiles, kTokenTiles>;
  extern __shared__ __align__(16) unsigned char shared[];
  let_next_kernel_start();
  uint4* ring = reinterpret_cast<uint4*>(shared);
  float* sums = reinterpret_cast<float*>(shared + S::kStages * S::kStageBytes);

  const int warp = threadIdx.x / 32;
  const int group = threadIdx.x % 32 / 4;  // row of a tile's half, or token
  const int quad = threadIdx.x % 4;        // eight features of 32
  const auto* weight = static_cast<const __nv_bfloat16*>(p.weight);
  const auto* x = static_cast<const __nv_bfloat16*>(p.x);
  const int64_t k = p.in_features;
  const int64_t n = p.out_features;
  const int64_t tiles = ceil_div(n, S::kOutputs);
  const int64_t all_pieces = ceil_div(k, kPiece);
  const int pieces = static_cast<int>(all_pieces > warp ? ceil_div(all_pieces - warp, kWarps)
                                                        : 0);  // of this warp in each tile

  const auto slot = [&](int stage, int s) -> uint4& {
    return ring[(stage * S::kSlots + s) * kThreads + threadIdx.x];
  };
  const auto feature = [&](int piece, int half) {
    return (warp + int64_t{piece} * kWarps) * kPiece + half * (kPiece / 2) + quad * 8;
  };
  const auto copy_weights = [&](int stage, int64_t tile, int piece) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = feature(piece, half);
#pragma unroll
      for (int r = 0; r < 2 * kRowTiles; ++r) {
        // Outputs behind the last repeat it and are dropped in the end.
        const int64_t row = min(tile * S::kOutputs + r * 8 + group, n - 1);
        copy16_async(&slot(stage, half * 2 * kRowTiles + r), weight + row * k + (at < k ? at : 0),
                     at < k);
      }
    }
  };
  const auto copy_tokens = [&](int stage, int piece) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = feature(piece, half);
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) {
        const int token = t * 8 + group;
        const bool inside = at < k && token < p.rows;
        copy16_async(&slot(stage, S::kWeightSlots + half * kTokenTiles + t),
                     x + (inside ? token * k + at : 0), inside);
      }
    }
  };

  // What is copied next.
  int64_t ahead_tile = blockIdx.x;
  int ahead_piece = 0;
  const auto ahead_inside = [&] { return pieces > 0 && ahead_tile < tiles; };
  const auto step_ahead = [&] {
    if (++ahead_piece == pieces) {
      ahead_piece = 0;
      ahead_tile += gridDim.x;
    }
  };
  // Weights do not change, so the first of them are on their way before the kernel that makes x has
  // ended.
#pragma unroll
  for (int s = 0; s < S::kStages - 1; ++s) {
    const int64_t flat = s;
    const int64_t tile = pieces > 0 ? blockIdx.x + flat / pieces * gridDim.x : tiles;
    if (tile < tiles) copy_weights(s, tile, static_cast<int>(flat % pieces));
  }
  wait_for_previous_kernel();
#pragma unroll
  for (int s = 0; s < S::kStages - 1; ++s) {
    if (ahead_inside()) {
      copy_tokens(s, ahead_piece);
      step_ahead();
    }
    end_copy_group();
  }

  int stage = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    float sum[kRowTiles][kTokenTiles][4] = {};
    for (int piece = 0; piece < pieces; ++piece) {
      wait_for_copy_groups<S::kStages - 2>();
      // The stage before this one is free: its products are done.
      const int free_stage = stage == 0 ? S::kStages - 1 : stage - 1;
      if (ahead_inside()) {
        copy_weights(free_stage, ahead_tile, ahead_piece);
        copy_tokens(free_stage, ahead_piece);
        step_ahead();
      }
      end_copy_group();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        uint4 b[kTokenTiles];
#pragma unroll
        for (int t = 0; t < kTokenTiles; ++t) {
          b[t] = slot(stage, S::kWeightSlots + half * kTokenTiles + t);
        }
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
          const uint4 upper = slot(stage, half * 2 * kRowTiles + 2 * r);
          const uint4 lower = slot(stage, half * 2 * kRowTiles + 2 * r + 1);
#pragma unroll
          for (int t = 0; t < kTokenTiles; ++t) {
            multiply_add(sum[r][t], upper.x, lower.x, upper.y, lower.y, b[t].x, b[t].y);
            multiply_add(sum[r][t], upper.z, lower.z, upper.w, lower.w, b[t].z, b[t].w);
          }
        }
      }
      stage = stage + 1 == S::kStages ? 0 : stage + 1;
    }

    float* own = sums + warp * S::kTokens * S::kPitch;
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int token = t * 8 + quad * 2 + i % 2;
          const int output = r * 16 + group + i / 2 * 8;
          own[token * S::kPitch + output] = sum[r][t][i];
        }
      }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < S::kOutputs * static_cast<int>(p.rows); i += kThreads) {
      const int token = i / S::kOutputs;
      const int64_t output = tile * S::kOutputs + i % S::kOutputs;
      if (output >= n) continue;
      float y = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        y += sums[(w * S::kTokens + token) * S::kPitch + i % S::kOutputs];
      }
      if (p.bias != nullptr) y += to_float(static_cast<const __nv_bfloat16*>(p.bias)[output]);
      y = activate(p.activation, y);
      if (p.out_type == ElementType::kF32) {
        static_cast<float*>(p.out)[token * n + output] = y;
      } else {
        static_cast<__nv_bfloat16*>(p.out)[token * n + output] = from_float<__nv_bfloat16>(y);
      }
    }
    __syncthreads();  // before the next tile's sums
  }
}

template <int kRowTiles, int kTokenTiles>
cudaError_t launch_tiles(const LinearParams& p, cudaStream_t stream) {
  using S = Shape<kRowTiles, kTokenTiles>;
  const auto kernel = small_kernel<kRowTiles, kTokenTiles>;
  if (const cudaError_t error = allow_shared_memory(kernel, S::kSharedBytes)) return error;
  const int64_t tiles = ceil_div(p.out_features, S::kOutputs);
  const int64_t resident = int64_t{S::kBlocksPerSm} * multiprocessors();
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(tiles < resident ? tiles : resident)),
                 .block = dim3(kThreads),
                 .shared_bytes = S::kSharedBytes,
                 .overlap_previous = true},
                stream, p);
}

}  // namespace

bool linear_small_fits(const LinearParams& p) {
  return p.type == ElementType::kBF16 && p.rows <= kMaxSmallRows && p.in_features % 8 == 0 &&
         is_aligned16(p.x) && is_aligned16(p.weight);
}

cudaError_t launch_linear_small(const LinearParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  if (!linear_small_fits(p) || p.rows < 0) return cudaErrorInvalidValue;
  // Twice as tall tiles halve what is read of x; they pay when every block still gets several.
  const bool tall = p.out_features > int64_t{16} * 8 * multiprocessors();
  if (p.rows <= 8) return tall ? launch_tiles<2, 1>(p, stream) : launch_tiles<1, 1>(p, stream);
  return tall ? launch_tiles<2, 2>(p, stream) : launch_tiles<1, 2>(p, stream);
}

}  // namespace ernie::kernels
