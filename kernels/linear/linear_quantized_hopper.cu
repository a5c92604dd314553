#include "kernels/linear/linear.h"
#include "kernels/moe/quantized_hopper.cuh"

// Products of a quantised matrix with many rows on sm_90a, as tiles shared out among persistent
// blocks.
namespace ernie::kernels {
namespace {

using quantized::Output;
using quantized::Ring;
using quantized::Shared;
using quantized::Tile;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <Output kOutput>
class LinearWork {
 public:
  __device__ __forceinline__ LinearWork(const LinearParams& params, int height)
      : p_(params),
        height_(height),
        row_tiles_((static_cast<int>(p_.rows) + height - 1) / height) {}

  __device__ __forceinline__ int items() const {
    return row_tiles_ *
           ((static_cast<int>(p_.out_features) + quantized::kTileRows - 1) / quantized::kTileRows);
  }

  __device__ __forceinline__ Tile tile(int item, int& first_token) const {
    // Row tiles run fastest: blocks at work at the same time share their weights in L2.
    first_token = item % row_tiles_ * height_;
    const int first_block = item / row_tiles_ * quantized::kTileBlocks;
    Tile tile;
    tile.format = p_.format;
    tile.variant = quantized::variant_of(tile.format, height_);
    tile.k = static_cast<int>(p_.in_features);
    tile.weights =
        static_cast<const unsigned char*>(p_.weight) +
        first_block * (quantized_cols(tile.k) / kQuantizedTile) * tile_bytes(tile.format.type);
    tile.scales = static_cast<const __nv_bfloat16*>(p_.scales) +
                  first_block * (quantized_groups(tile.k, tile.format.group) * kQuantizedTile);
    tile.blocks =
        min(quantized::kTileBlocks,
            static_cast<int>(quantized_rows(p_.out_features, RowOrder::kPlain)) / kQuantizedTile -
                first_block);
    tile.tokens = min(height_, static_cast<int>(p_.rows) - first_token);
    const int first_output = first_block * kQuantizedTile;
    tile.outputs = static_cast<int>(p_.out_features) - first_output;
    tile.out_stride = p_.out_features;
    tile.out = static_cast<char*>(p_.out) +
               (first_token * tile.out_stride + first_output) * (kOutput == Output::kFloat ? 4 : 2);
    return tile;
  }

  __device__ __forceinline__ const __nv_bfloat16* token(int row) const {
    return static_cast<const __nv_bfloat16*>(p_.x) + row * p_.in_features;
  }

 private:
  const LinearParams& p_;
  const int height_;
  const int row_tiles_;
};

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

template <Output kOutput>
__global__ __launch_bounds__(quantized::kThreads, 1) void linear_quantized_hopper_kernel(
    const __grid_constant__ LinearParams params, int height, const __grid_constant__ Ring ring) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // The kernel has no other shared memory, so this is aligned as matrix operands want it.
  extern __shared__ __align__(1024) unsigned char shared_memory[];
  auto& shared =
      *reinterpret_cast<Shared<kOutput>*>(shared_memory + ring.stages * ring.stage_bytes);
  if (threadIdx.x == 0) quantized::init_barriers(shared, ring);
  let_next_kernel_start();
  wait_for_previous_kernel();
  __syncthreads();
  quantized::run_tiles(LinearWork<kOutput>(params, height), shared, ring,
                       shared_address(shared_memory));
#endif
}

// The height of tiles with which the last blocks end soonest. A tile's time is taken to rise with
// its height, but not to fall below that of kLeast rows: weights have to be converted for few, too.
int best_height(int64_t rows, int64_t column_tiles) {
  constexpr int64_t kLeast = 112;
  int best = 0;
  int64_t best_time = 0;
  for (int at = 0; at < quantized::kTokenCounts; ++at) {
    const int height = quantized::tokens_of(at);
    const int64_t tiles = ceil_div(rows, height) * column_tiles;
    const int64_t time =
        ceil_div(tiles, multiprocessors()) * (height > kLeast ? int64_t{height} : kLeast);
    if (best == 0 || time < best_time) {
      best = height;
      best_time = time;
    }
  }
  return best;
}

template <Output kOutput>
cudaError_t launch_to(const LinearParams& p, cudaStream_t stream) {
  const Ring ring = quantized::ring_for(p.format.type == WeightType::kInt8, p.format.group > 0,
                                        sizeof(Shared<kOutput>));
  const size_t shared_bytes =
      static_cast<size_t>(ring.stages) * ring.stage_bytes + sizeof(Shared<kOutput>);
  const auto kernel = linear_quantized_hopper_kernel<kOutput>;
  if (const cudaError_t error = allow_shared_memory(kernel, shared_bytes); error != cudaSuccess) {
    return error;
  }
  const int height = best_height(p.rows, ceil_div(p.out_features, quantized::kTileRows));
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(multiprocessors())),
                 .block = dim3(quantized::kThreads),
                 .shared_bytes = shared_bytes,
                 .overlap_previous = true},
                stream, p, height, ring);
}

}  // namespace

bool linear_quantized_hopper_fits(const LinearParams& p) {
  return arch() >= 90 && p.format.type != WeightType::kNative && p.bias == nullptr &&
         p.activation == Activation::kNone && p.type == ElementType::kBF16 &&
         p.in_features % 8 == 0 && p.out_features % 8 == 0 && is_aligned16(p.x) &&
         is_aligned16(p.out);
}

cudaError_t launch_linear_quantized_hopper(const LinearParams& p, cudaStream_t stream) {
  if (!linear_quantized_hopper_fits(p)) return cudaErrorInvalidValue;
  if (p.rows == 0) return cudaSuccess;
  return p.out_type == ElementType::kF32 ? launch_to<Output::kFloat>(p, stream)
                                         : launch_to<Output::kBF16>(p, stream);
}

}  // namespace ernie::kernels
