#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/host_device.h"
#include "kernels/common/weight_format.h"

// Weights in 8 or 4 bits. One layout serves mma.sync and wgmma: the A fragment of wgmma m64k16 is
// four m16k16 fragments of mma.sync, one for each warp, so a lane's elements lie together in the
// order in which either instruction wants them.
//
// W is [rows, cols]; both are padded to multiples of kQuantizedTile with zeros. A tile is 64 rows
// by 64 of k; tiles of the same rows lie one behind the other. In a tile, warp w has rows
// 16w..16w+15. With g = lane / 4 and t = lane % 4, register p of a k16 step holds the pairs
//   p = 0: (row g, k 2t, 2t + 1)        p = 1: (row g + 8, k 2t, 2t + 1)
//   p = 2: (row g, k 2t + 8, 2t + 9)    p = 3: (row g + 8, k 2t + 8, 2t + 9)
// int4, 2048 bytes a tile: [warp][lane] of 16 bytes; 32-bit word s is step s; pair p has its first
//   element in bits 4p.. and its second in bits 16 + 4p.., each stored as q + 8.
// int8, 4096 bytes a tile: [warp][half of the steps][lane] of 16 bytes; words 2s and 2s + 1 are
// step
//   s of the half, word 2s with p = 0 and 1, word 2s + 1 with p = 2 and 3; bytes 0 and 2 are the
//   pair of the even p, bytes 1 and 3 that of the odd p; two's complement.
// Scales are bfloat16, [padded rows / 16][groups][16], zero for rows of padding. A weight is
// q * scale.
namespace ernie::kernels {

constexpr int kQuantizedTile = 64;

// Which row of W is stored where.
enum class RowOrder : uint8_t {
  kPlain,
  // W is width gate rows over width up rows: stored row 16b + r is gate row 8b + r for r < 8 and up
  // row 8b + r - 8 for the others, so a thread's sums hold both factors of its activations.
  kGateUp,
};

constexpr ERNIE_HOST_DEVICE int64_t quantized_rows(int64_t rows, RowOrder order) {
  const int64_t step = order == RowOrder::kGateUp ? kQuantizedTile / 2 : kQuantizedTile;
  const int64_t part = order == RowOrder::kGateUp ? rows / 2 : rows;
  const int64_t padded = (part + step - 1) / step * step;
  return order == RowOrder::kGateUp ? 2 * padded : padded;
}
constexpr ERNIE_HOST_DEVICE int64_t quantized_cols(int64_t cols) {
  return (cols + kQuantizedTile - 1) / kQuantizedTile * kQuantizedTile;
}
constexpr ERNIE_HOST_DEVICE int64_t quantized_groups(int64_t cols, int group) {
  return group == 0 ? 1 : (cols + group - 1) / group;
}
constexpr size_t quantized_value_bytes(int64_t rows, int64_t cols, WeightFormat format,
                                       RowOrder order) {
  return static_cast<size_t>(quantized_rows(rows, order) * quantized_cols(cols) *
                             bits_of(format.type) / 8);
}
constexpr size_t quantized_scale_bytes(int64_t rows, int64_t cols, WeightFormat format,
                                       RowOrder order) {
  return static_cast<size_t>(quantized_rows(rows, order) * quantized_groups(cols, format.group) *
                             2);
}

}  // namespace ernie::kernels
