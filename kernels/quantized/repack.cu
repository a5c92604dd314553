#include "kernels/common/launch.cuh"
#include "kernels/quantized/pack.cuh"

namespace ernie::kernels {
namespace {

__global__ __launch_bounds__(kPackThreads) void repack_kernel(RepackParams p) {
  constexpr int kWarps = kPackThreads / 32;
  const QuantizedMatrix& out = p.out;
  const SlabRows rows(out, p.first_row, p.rows, blockIdx.x);
  if (rows.none()) return;
  const int64_t groups = quantized_groups(out.cols, out.format.group);
  for (int64_t i = threadIdx.x; i < groups * kSlabRows; i += kPackThreads) {
    const int r = static_cast<int>(i % kSlabRows);
    if (!rows.covers(r)) continue;
    const int64_t row = rows.source(r);
    scale_of(out, blockIdx.x, r, i / kSlabRows) =
        row < 0 ? __nv_bfloat16{}
                : static_cast<const __nv_bfloat16*>(p.scales)[row * p.scale_stride + i / kSlabRows];
  }
  const int bits = out.format.type == WeightType::kInt4 ? 4 : 8;
  const int in_word = 32 / bits;
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const int64_t sources[2] = {rows.source(g), rows.source(g + 8)};
  for (int64_t k_tile = threadIdx.x / 32; k_tile < quantized_cols(out.cols) / kQuantizedTile;
       k_tile += kWarps) {
    pack_slab(out, rows, blockIdx.x, k_tile, [&](int high, int step, int in_step) {
      const int64_t row = high == 0 ? sources[0] : sources[1];
      const auto value = [&](int64_t col) {
        if (row < 0 || col >= out.cols) return 0;
        const uint32_t word =
            static_cast<const uint32_t*>(p.values)[row * p.stride + col / in_word];
        const uint32_t biased = word >> (col % in_word * bits) & ((1u << bits) - 1);
        return static_cast<int>(biased) - (1 << (bits - 1));
      };
      const int64_t col = k_tile * kQuantizedTile + 16 * step + in_step;
      return make_int2(value(col), value(col + 1));
    });
  }
}

}  // namespace

cudaError_t launch_repack(const RepackParams& p, cudaStream_t stream) {
  if (!is_packable(p.out, p.first_row, p.rows)) return cudaErrorInvalidValue;
  if (p.rows == 0) return cudaSuccess;
  return launch(repack_kernel, {.grid = pack_grid(p.out), .block = dim3(kPackThreads)}, stream, p);
}

}  // namespace ernie::kernels
