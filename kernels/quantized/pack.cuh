#pragma once

#include <cuda_bf16.h>

#include "kernels/quantized/quantized.cuh"

// What writes the layout: a block for each slab of 16 stored rows, of whose words a launch may own
// some rows only, as gate and up rows come from different tensors.
namespace ernie::kernels {

constexpr int kPackThreads = 128;

// The stored rows of a slab that a launch of rows [first_row, first_row + rows) writes.
class SlabRows {
 public:
  __device__ SlabRows(const QuantizedMatrix& out, int64_t first_row, int64_t rows, int64_t slab)
      : out_(out), first_row_(first_row), rows_(rows), slab_(slab) {}

  // The row of the launch's input, or -1 if there is none.
  __device__ int64_t source(int r) const {
    const int64_t row = logical_row(slab_ * kSlabRows + r, out_.rows, out_.order) - first_row_;
    return row >= 0 && row < rows_ ? row : -1;
  }
  __device__ bool covers(int r) const {
    const bool padding = logical_row(slab_ * kSlabRows + r, out_.rows, out_.order) < 0;
    return padding ? first_row_ + rows_ == out_.rows : source(r) >= 0;
  }
  __device__ bool none() const {
    for (int r = 0; r < kSlabRows; ++r) {
      if (covers(r)) return false;
    }
    return true;
  }

 private:
  const QuantizedMatrix& out_;
  int64_t first_row_;
  int64_t rows_;
  int64_t slab_;
};

__device__ __forceinline__ __nv_bfloat16& scale_of(const QuantizedMatrix& out, int64_t slab, int r,
                                                   int64_t group) {
  const int64_t groups = quantized_groups(out.cols, out.format.group);
  return static_cast<__nv_bfloat16*>(out.scales)[(slab * groups + group) * kSlabRows + r];
}

// With a whole warp: writes the slab's part of a tile. pair(high, step, k) is q of row g + 8 * high
// of the slab, g = lane / 4, in columns k and k + 1 of step `step` of the tile.
template <class Pair>
__device__ __forceinline__ void pack_slab(const QuantizedMatrix& out, const SlabRows& rows,
                                          int64_t slab, int64_t k_tile, Pair pair) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int t = lane % 4;
  const bool int4 = out.format.type == WeightType::kInt4;
  unsigned char* to =
      static_cast<unsigned char*>(out.values) +
      slab_offset(out.format.type, slab, quantized_cols(out.cols) / kQuantizedTile) +
      k_tile * tile_bytes(out.format.type) + lane * 16;
  // The bits of the lane's two rows in each word.
  const uint32_t low_bits = int4 ? 0x0f0f0f0fu : 0x00ff00ffu;
  const uint32_t mask =
      (rows.covers(lane / 4) ? low_bits : 0) | (rows.covers(lane / 4 + 8) ? ~low_bits : 0);
  const auto store = [&](unsigned char* at, uint4 words) {
    if (mask == 0) return;
    auto* all = reinterpret_cast<uint4*>(at);
    if (mask != ~0u) {
      const uint4 old = *all;
      words = {(words.x & mask) | (old.x & ~mask), (words.y & mask) | (old.y & ~mask),
               (words.z & mask) | (old.z & ~mask), (words.w & mask) | (old.w & ~mask)};
    }
    *all = words;
  };
  if (int4) {
    uint32_t words[4] = {};
#pragma unroll
    for (int step = 0; step < 4; ++step) {
#pragma unroll
      for (int p = 0; p < 4; ++p) {  // register of the fragment
        const int2 q = pair(p % 2, step, 2 * t + p / 2 * 8);
        words[step] |= static_cast<uint32_t>(q.x + 8) << (4 * p) | static_cast<uint32_t>(q.y + 8)
                                                                       << (4 * p + 16);
      }
    }
    store(to, {words[0], words[1], words[2], words[3]});
  } else {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t words[4] = {};
#pragma unroll
      for (int w = 0; w < 4; ++w) {
#pragma unroll
        for (int high = 0; high < 2; ++high) {
          const int2 q = pair(high, 2 * half + w / 2, 2 * t + w % 2 * 8);
          words[w] |= static_cast<uint32_t>(q.x & 255) << (8 * high) |
                      static_cast<uint32_t>(q.y & 255) << (8 * high + 16);
        }
      }
      store(to + half * 512, {words[0], words[1], words[2], words[3]});
    }
  }
}

inline dim3 pack_grid(const QuantizedMatrix& out) {
  return dim3(static_cast<unsigned>(quantized_rows(out.rows, out.order) / kSlabRows));
}

inline bool is_packable(const QuantizedMatrix& out, int64_t first_row, int64_t rows) {
  const int group = out.format.group;
  return out.format.type != WeightType::kNative &&
         (group == 0 || group == 32 || group == 64 || group == 128) && out.rows > 0 &&
         out.cols > 0 && (out.order == RowOrder::kPlain || out.rows % 2 == 0) && first_row >= 0 &&
         rows >= 0 && first_row + rows <= out.rows;
}

}  // namespace ernie::kernels
