#pragma once

#include <cuda_bf16.h>

#include "kernels/common/vector.cuh"
#include "kernels/quantized/quantized.h"

// Where an element lies in the layout of quantized_layout.h, and the way back.
namespace ernie::kernels {

constexpr int kSlabRows = 16;  // a warp's rows of a tile

constexpr __host__ __device__ int tile_bytes(WeightType type) {
  return type == WeightType::kInt4 ? 2048 : 4096;
}
constexpr __host__ __device__ int slab_bytes(WeightType type) { return tile_bytes(type) / 4; }

// Bytes from the first value to slab `slab` of the first tile along k; tiles of one slab lie
// tile_bytes() apart.
constexpr __host__ __device__ int64_t slab_offset(WeightType type, int64_t slab, int64_t k_tiles) {
  return slab / 4 * k_tiles * tile_bytes(type) + slab % 4 * slab_bytes(type);
}

// Row `stored` of a kGateUp matrix of width gate rows is row ... of W; width and above in either
// half: padding.
struct GateUpRow {
  bool up;
  int64_t row;  // of the half
};
constexpr __host__ __device__ GateUpRow gate_up_row(int64_t stored) {
  return {stored % 16 >= 8, stored / 16 * 8 + stored % 8};
}
// The row of W that is stored as `stored`, or -1 for padding.
constexpr __host__ __device__ int64_t logical_row(int64_t stored, int64_t rows, RowOrder order) {
  if (order == RowOrder::kPlain) return stored < rows ? stored : -1;
  const GateUpRow r = gate_up_row(stored);
  if (r.row >= rows / 2) return -1;
  return r.up ? rows / 2 + r.row : r.row;
}
constexpr __host__ __device__ int64_t stored_row(int64_t logical, int64_t rows, RowOrder order) {
  if (order == RowOrder::kPlain) return logical;
  const bool up = logical >= rows / 2;
  const int64_t row = up ? logical - rows / 2 : logical;
  return row / 8 * 16 + row % 8 + (up ? 8 : 0);
}

// One stored row, 16 neighbouring k at a time.
class QuantizedRow {
 public:
  __device__ QuantizedRow(WeightFormat format, const void* values, const void* scales,
                          int64_t stored, int64_t cols)
      : int4_(format.type == WeightType::kInt4),
        group_(format.group),
        high_(stored % kSlabRows >= 8) {
    const int64_t k_tiles = quantized_cols(cols) / kQuantizedTile;
    const int64_t slab = stored / kSlabRows;
    values_ = static_cast<const unsigned char*>(values) + slab_offset(format.type, slab, k_tiles) +
              stored % 8 * 64;
    scales_ = static_cast<const __nv_bfloat16*>(scales) +
              slab * quantized_groups(cols, format.group) * kSlabRows + stored % kSlabRows;
  }

  // The values without their scale at k = 16 * step + {2t, 2t + 1, 2t + 8, 2t + 9}, t < 4.
  __device__ void load(int64_t step, int t, float (&out)[4]) const {
    const int64_t tile = step / 4;
    if (int4_) {
      const uint32_t word =
          *reinterpret_cast<const uint32_t*>(values_ + tile * 2048 + t * 16 + step % 4 * 4) >>
          (high_ ? 4 : 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        out[i] =
            static_cast<float>(static_cast<int>(word >> (16 * (i % 2) + 8 * (i / 2)) & 15) - 8);
      }
    } else {
      const uint2 words = *reinterpret_cast<const uint2*>(
          values_ + tile * 4096 + step % 4 / 2 * 512 + t * 16 + step % 2 * 8);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t word = i / 2 == 0 ? words.x : words.y;
        out[i] =
            static_cast<float>(static_cast<int8_t>(word >> (16 * (i % 2) + (high_ ? 8 : 0)) & 255));
      }
    }
  }
  // The scale of k = 16 * step and its 15 neighbours.
  __device__ float scale(int64_t step) const {
    return to_float(scales_[group_ == 0 ? 0 : step * 16 / group_ * kSlabRows]);
  }

 private:
  bool int4_;
  int group_;
  bool high_;  // in the second half of its slab
  const unsigned char* values_;
  const __nv_bfloat16* scales_;
};

// The place of a lane's value i < 4 of a step among its 16.
__device__ __forceinline__ int k_in_step(int t, int i) { return 2 * t + i % 2 + i / 2 * 8; }

}  // namespace ernie::kernels
