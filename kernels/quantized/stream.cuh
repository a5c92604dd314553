#pragma once

#include <cuda_bf16.h>

#include "kernels/common/launch.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/quantized/quantized.cuh"

// How a block multiplies quantised weights with few rows of activations when time is the reading of
// the weights. The weights are the 16-row operand of the matrix product, the activations its 8
// columns. The warps of a block take turns at the tiles along k and add up their sums in the end,
// so the order of additions depends on k alone. Each warp streams weights, and the activations that
// go with them, through a ring in shared memory of its own, from one item of work to the next
// without a stop.
namespace ernie::kernels::quantized {

// Some slabs of one matrix and the rows of activations that they meet; the same for all threads.
struct Item {
  const unsigned char* values;  // of the matrix, as are the scales
  const __nv_bfloat16* scales;
  bool int4;
  int group;
  int k;      // columns of the matrix
  int slab;   // the first
  int slabs;  // at most what the shape allows
  int row;    // of the activations, the first
  int rows;   // at most kRows of the shape
};

// kTiles tiles of 8 rows of activations meet kSlabs slabs of int4 or half as many of int8, 512
// bytes each. kGroups: some scales are of groups, so all are applied along the way.
template <int kTiles_, int kSlabs_, int kStages_, int kBlocks_, bool kGroups_>
struct Shape {
  static constexpr int kWarps = 8;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kTiles = kTiles_;
  static constexpr int kSlabs = kSlabs_;
  static constexpr int kStages = kStages_;
  static constexpr bool kGroups = kGroups_;
  static constexpr int kRows = 8 * kTiles;
  static constexpr int kBlocks = kBlocks_;  // for which a multiprocessor has room
  static constexpr int kValueBytes = 512 * kSlabs;
  static constexpr int kScaleBytes = kGroups ? 64 * kSlabs : 0;
  // The sums of so many slabs are exchanged at a time: two threads of the block to a lane of each.
  static constexpr int kExchanged = kThreads / 64;
  static constexpr int kSlabPasses = kSlabs / kExchanged;
  static_assert(kSlabs % kExchanged == 0);

  // Of an item that begins with `slab`: it ends in the next row of tiles.
  static constexpr __host__ __device__ int max_slabs(bool int4, int slab) {
    const int most = int4 ? kSlabs : kSlabs / 2;
    return most < 8 - slab % 4 ? most : 8 - slab % 4;
  }
  static constexpr __host__ __device__ int stage_bytes(int rows) {
    return kValueBytes + kScaleBytes + (rows < kRows ? rows : kRows) * 128;
  }
  static constexpr size_t ring_bytes(int rows) {
    return size_t{kWarps} * kStages * static_cast<size_t>(stage_bytes(rows));
  }
  // Scales of channels lie ready for the items whose stages are on their way.
  static constexpr int kScaleSlots = kGroups ? 1 : 8;
  struct Exchange {
    float sums[kWarps][kExchanged][4][32];
    alignas(16) __nv_bfloat16 scales[kScaleSlots][kSlabs][kSlabRows];
  };
  static_assert(kGroups || kStages < kScaleSlots);
};

// These differ in speed only: the order of additions is the same.
template <bool kGroups>
using OneRow = Shape<1, 4, kGroups ? 4 : 5, 2, kGroups>;
template <bool kGroups>
using VeryFewRows = Shape<1, 4, 3, 2, kGroups>;
template <bool kGroups>
using FewRows = Shape<1, 8, 2, 2, kGroups>;
template <bool kGroups>
using MoreRows = Shape<2, 4, kGroups ? 3 : 2, kGroups ? 1 : 2, kGroups>;
template <bool kGroups>
using ManyStages = Shape<2, 8, kGroups ? 3 : 4, 1, kGroups>;

// 16 bytes through L1: other warps of the multiprocessor want the same activations.
__device__ __forceinline__ void copy16_cached(uint32_t to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
}

// An integer below 256 in the bits of a bfloat16 is that many times 2^-133, as such small numbers
// have no leading bit of their own. So weights need no conversion but a mask; the activations are
// made 2^64 times as large, for sums of ordinary size, and sums are put right in the end. int4's
// rows g + 8 lie four bits higher.
constexpr uint32_t kTwoTo64 = 0x5f805f80u;  // two bfloat16
constexpr float kUndo = 0x1p69f;
constexpr float kUndoInt4High = 0x1p65f;

__device__ __forceinline__ uint32_t multiply_bf16(uint32_t a, uint32_t b) {
  const __nv_bfloat162 product = __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                         *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&product);
}
__device__ __forceinline__ float load_shared_bf16(uint32_t address) {
  unsigned short v;
  asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v) : "r"(address) : "memory");
  return __uint_as_float(uint32_t{v} << 16);
}

// Half of a tile's k of one slab: two steps of 16. Values are q + 8 of int4 and q + 128 of int8.
template <bool kInt4, int kTiles, int kAllTiles>
__device__ __forceinline__ void multiply_half(const uint32_t* words,
                                              const uint32_t (&tokens)[kTiles][8], int half,
                                              float (&sums)[kAllTiles][4]) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    uint32_t a[4];
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
      if constexpr (kInt4) {
        const uint32_t word = words[step] >> (8 * pair);
        a[2 * pair] = word & 0x000f000fu;
        a[2 * pair + 1] = word & 0x00f000f0u;
      } else {
        const uint32_t word = words[2 * step + pair] ^ 0x80808080u;
        a[2 * pair] = word & 0x00ff00ffu;
        a[2 * pair + 1] = __byte_perm(word, 0, 0x4341);
      }
    }
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      multiply_add(sums[i], a[0], a[1], a[2], a[3], tokens[i][4 * half + 2 * step],
                   tokens[i][4 * half + 2 * step + 1]);
    }
  }
}

// The product of a stage. kTiles of the shape's tiles have rows. `x` is where the lane finds its
// row of each tile's first matrix in the stage.
// `offsets` is added to the sums of every slab in the end.
template <class S, bool kInt4, int kTiles>
__device__ __forceinline__ void multiply_stage(uint32_t stage, const uint32_t (&x)[S::kTiles],
                                               int slabs, float (&sums)[S::kSlabs][S::kTiles][4],
                                               float (&offsets)[S::kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t tokens[kTiles][8];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t fragments[4];
      load_matrices(fragments, (stage + x[i]) ^ (64 * half));
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        tokens[i][4 * half + j] = multiply_bf16(fragments[j], kTwoTo64);
      }
    }
  }
  constexpr int kSlabs = kInt4 ? S::kSlabs : S::kSlabs / 2;
  // What the values are too large by is the same for all slabs, but for the scales of groups: 8 or
  // 128 times the sum of the tokens.
  constexpr uint32_t kLow = kInt4 ? 0x80088008u : 0x80808080u;
  constexpr uint32_t kHigh = 0x80808080u;
  float group_offsets[2][kTiles][4] = {};
#pragma unroll
  for (int step = 0; step < 4; ++step) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      multiply_add(S::kGroups ? group_offsets[step / 2][i] : offsets[i], kLow, kHigh, kLow, kHigh,
                   tokens[i][2 * step], tokens[i][2 * step + 1]);
    }
  }
  // Slabs do not wait for each other's products; with few registers left, only two are under way.
  constexpr int kTogether = kTiles == 1 && S::kTiles == 1 && !S::kGroups && kSlabs >= 4 ? 4 : 2;
#pragma unroll
  for (int first = 0; first < kSlabs; first += kTogether) {
    if (first >= slabs) break;
    uint4 values[kTogether][2];
#pragma unroll
    for (int i = 0; i < (kInt4 ? 1 : 2) * kTogether; ++i) {
      values[kInt4 ? i : i / 2][kInt4 ? 0 : i % 2] =
          load_shared16(stage + lane * 16 + ((kInt4 ? first : 2 * first) + i) * 512);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int slab = first + i;
        const uint4 v = values[i][kInt4 ? 0 : half];
        const uint32_t all[4] = {v.x, v.y, v.z, v.w};
        const uint32_t* words = kInt4 ? all + 2 * half : all;
        if constexpr (S::kGroups) {
          float part[kTiles][4];
#pragma unroll
          for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
            for (int j = 0; j < 4; ++j) part[tile][j] = group_offsets[half][tile][j];
          }
          multiply_half<kInt4>(words, tokens, half, part);
          const uint32_t scale =
              stage + S::kValueBytes + (2 * slab + half) * (2 * kSlabRows) + lane / 4 * 2;
          const float low = load_shared_bf16(scale);
          const float high = load_shared_bf16(scale + kSlabRows);
#pragma unroll
          for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              float& sum = sums[slab][tile][j];
              sum = fmaf(part[tile][j], j < 2 ? low : high, sum);
            }
          }
        } else {
          multiply_half<kInt4>(words, tokens, half, sums[slab]);
        }
      }
    }
  }
}

// A warp's way through the work, some stages ahead of the products. Work has
//   Cursor first(); bool find(Cursor&): moves on to where an item is, false behind the last;
//   Item item(Cursor); Cursor after(Cursor, Item); const __nv_bfloat16* row(Item, i).
template <class S, class Work>
class Fetcher {
 public:
  // The scales of the first `known` items are on their way already.
  __device__ Fetcher(const Work& work, const typename S::Exchange& exchange, int known)
      : work_(work),
        known_(known),
        scales_(shared_address(exchange.scales)),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32),
        cursor_(work.first()) {
    begin_item();
  }

  __device__ bool has_stage() const { return has_; }
  __device__ int begun() const { return begun_; }
  __device__ void copy_weights(uint32_t stage) const {
    const uint32_t to = stage + lane_ * 16;
#pragma unroll
    for (int c = 0; c < S::kSlabs; ++c) {
      if (c < in_row_) copy16_stream(to + c * 512, values_ + c * 512, true);
      if (c >= in_row_ && c < copies_) copy16_stream(to + c * 512, next_row_ + c * 512, true);
    }
    if constexpr (S::kGroups) {
      // Sixteen scales for each slab and half of the tile.
      const Item& item = work_.item(cursor_);
      const int slab = lane_ / 4;
      const int at = k_ + lane_ / 2 % 2 * (kQuantizedTile / 2);
      const int groups = static_cast<int>(quantized_groups(item.k, item.group));
      const int group = item.group == 0 ? 0 : min(at / item.group, groups - 1);
      if (slab < item.slabs) {
        copy16_stream(to + S::kValueBytes,
                      item.scales +
                          (static_cast<size_t>(item.slab + slab) * groups + group) * kSlabRows +
                          lane_ % 2 * 8,
                      true);
      }
    }
  }
  __device__ void copy_tokens(uint32_t stage) const {
    const int chunk = lane_ % 8;
    const bool inside = k_ + chunk * 8 < k_end_;
    const uint32_t to = stage + S::kValueBytes + S::kScaleBytes + lane_ / 8 * 128;
#pragma unroll
    for (int i = 0; i < S::kRows / 4; ++i) {
      const int row = 4 * i + lane_ / 8;
      if (row < token_rows_) {
        copy16_cached(to + i * 512 + (chunk ^ (row % 8)) * 16, rows_[i], inside);
      }
    }
  }
  __device__ void advance() {
    k_ += S::kWarps * kQuantizedTile;
    values_ += step_;
    next_row_ += step_;
#pragma unroll
    for (int i = 0; i < S::kRows / 4; ++i) rows_[i] += S::kWarps * kQuantizedTile;
    if (k_ < k_end_) return;
    cursor_ = work_.after(cursor_, work_.item(cursor_));
    begin_item();
  }

 private:
  __device__ void begin_item() {
    while ((has_ = work_.find(cursor_))) {
      if (warp_ * kQuantizedTile < work_.item(cursor_).k) break;
      cursor_ = work_.after(cursor_, work_.item(cursor_));
    }
    if (!has_) return;
    const Item& item = work_.item(cursor_);
    const WeightType type = item.int4 ? WeightType::kInt4 : WeightType::kInt8;
    const int k_tiles = (item.k + kQuantizedTile - 1) / kQuantizedTile;
    const int per_slab = item.int4 ? 1 : 2;  // copies
    k_ = warp_ * kQuantizedTile;
    k_end_ = item.k;
    step_ = S::kWarps * tile_bytes(type);
    copies_ = item.slabs * per_slab;
    in_row_ = min(copies_, (4 - item.slab % 4) * per_slab);
    values_ =
        item.values + slab_offset(type, item.slab, k_tiles) + warp_ * tile_bytes(type) + lane_ * 16;
    next_row_ = values_ + int64_t{k_tiles - 1} * tile_bytes(type);
    token_rows_ = item.rows;
    if (!S::kGroups && warp_ == 0) {  // which has a part in every item
      if (begun_ >= known_ && lane_ < 2 * item.slabs) {
        copy16_stream(scales_ + begun_ % S::kScaleSlots * (S::kSlabs * kSlabRows * 2) + lane_ * 16,
                      item.scales + static_cast<size_t>(item.slab) * kSlabRows + lane_ * 8, true);
      }
      ++begun_;
    }
#pragma unroll
    for (int i = 0; i < S::kRows / 4; ++i) {
      rows_[i] = work_.row(item, min(4 * i + lane_ / 8, item.rows - 1)) + k_ + lane_ % 8 * 8;
    }
  }

  const Work& work_;
  int known_;
  uint32_t scales_;
  int begun_ = 0;  // items whose scales were asked for
  int warp_;
  int lane_;
  typename Work::Cursor cursor_;
  bool has_ = false;
  int k_ = 0;
  int k_end_ = 0;
  int step_ = 0;
  int copies_ = 0;
  int in_row_ = 0;  // copies before the item goes on in the next row of tiles
  int token_rows_ = 0;
  const unsigned char* values_ = nullptr;  // the lane's
  const unsigned char* next_row_ = nullptr;
  const __nv_bfloat16* rows_[S::kRows / 4];
};

// The ring of a warp, and how many of its stages have weights on their way already.
template <class S>
struct Ring {
  uint32_t stages;
  int stage_rows;
  int stage_bytes;
  int fetched = 0;
  int begun = 0;  // items whose scales are on their way

  __device__ Ring(const void* memory, int rows)
      : stage_rows(min(rows, S::kRows)), stage_bytes(S::stage_bytes(rows)) {
    stages = shared_address(memory) + threadIdx.x / 32 * S::kStages * stage_bytes;
  }
  __device__ uint32_t stage(int slot) const { return stages + slot * stage_bytes; }
};

// Starts the first weights on their way, as far as `work` knows what comes: before the wait for the
// kernel that makes the activations.
template <class S, class Work>
__device__ __forceinline__ void prefetch_weights(Ring<S>& ring, const Work& work,
                                                 const typename S::Exchange& exchange) {
  Fetcher<S, Work> fetcher(work, exchange, 0);
  for (; ring.fetched < S::kStages - 1 && fetcher.has_stage(); ++ring.fetched) {
    fetcher.copy_weights(ring.stage(ring.fetched));
    fetcher.advance();
  }
  ring.begun = fetcher.begun();
}

// All of the block's work, which begins as it did at prefetch_weights(). finish(item, slab, g, row,
// low, high) gets the sums of stored rows g and g + 8 of each slab.
template <class S, class Work>
__device__ __forceinline__ void stream_products(const Ring<S>& ring, const Work& work,
                                                typename S::Exchange& exchange) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  Fetcher<S, Work> fetcher(work, exchange, ring.begun);
  for (int i = 0; i < S::kStages - 1; ++i) {
    if (fetcher.has_stage()) {
      const uint32_t stage = ring.stage(i);
      if (i >= ring.fetched) fetcher.copy_weights(stage);
      fetcher.copy_tokens(stage);
      fetcher.advance();
    }
    commit_copies();
  }
  uint32_t x[S::kTiles];
#pragma unroll
  for (int i = 0; i < S::kTiles; ++i) {
    // Columns without a row may have anything: a column is the sum of its own products.
    const int row = min(8 * i + lane % 8, ring.stage_rows - 1);
    x[i] = S::kValueBytes + S::kScaleBytes + row * 128 + ((lane / 8) ^ (row % 8)) * 16;
  }
  uint32_t stage = ring.stage(0);
  uint32_t before = ring.stage(S::kStages - 1);  // the stage before this one
  int number = 0;                                // of the slot for the item's scales
  for (auto cursor = work.first(); work.find(cursor);) {
    const Item item = work.item(cursor);
    // This thread's part of the exchange: a slab of each pass, one row of each tile.
    const int exchanged = static_cast<int>(threadIdx.x) / 64;
    const int g = lane / 4;
    const int column = 2 * (lane % 4) + warp % 2;
    float sums[S::kSlabs][S::kTiles][4] = {};
    float offsets[S::kTiles][4] = {};
    for (int k_tile = warp; k_tile * kQuantizedTile < item.k; k_tile += S::kWarps) {
      wait_for_copies<S::kStages - 2>();
      __syncwarp();
      if (fetcher.has_stage()) {  // the stage before this one is free: its products are done
        fetcher.copy_weights(before);
        fetcher.copy_tokens(before);
        fetcher.advance();
      }
      commit_copies();
      const auto multiply = [&]<int kTiles>() {
        if (item.int4) {
          multiply_stage<S, true, kTiles>(stage, x, item.slabs, sums, offsets);
        } else {
          multiply_stage<S, false, kTiles>(stage, x, item.slabs, sums, offsets);
        }
      };
      if (S::kTiles == 1 || item.rows <= 8) {
        multiply.template operator()<1>();
      } else {
        multiply.template operator()<S::kTiles>();
      }
      before = stage;
      stage += ring.stage_bytes;
      if (stage == ring.stage(S::kStages)) stage = ring.stage(0);
    }
#pragma unroll
    for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
      for (int pass = 0; pass < S::kSlabPasses; ++pass) {
        if (8 * tile >= item.rows || pass * S::kExchanged >= item.slabs) break;
        __syncthreads();  // the readers of the pass before are done
#pragma unroll
        for (int i = 0; i < S::kExchanged; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            exchange.sums[warp][i][j][lane] =
                sums[pass * S::kExchanged + i][tile][j] + offsets[tile][j];
          }
        }
        __syncthreads();
        const int slab = pass * S::kExchanged + exchanged;
        const int row = 8 * tile + column;
        if (slab >= item.slabs || row >= item.rows) continue;
        float low = 0;
        float high = 0;
#pragma unroll
        for (int w = 0; w < S::kWarps; ++w) {
          low += exchange.sums[w][exchanged][warp % 2][lane];
          high += exchange.sums[w][exchanged][2 + warp % 2][lane];
        }
        low *= kUndo;
        high *= item.int4 ? kUndoInt4High : kUndo;
        if constexpr (!S::kGroups) {
          low *= to_float(exchange.scales[number][slab][g]);
          high *= to_float(exchange.scales[number][slab][g + 8]);
        }
        work.finish(item, item.slab + slab, g, row, low, high);
      }
    }
    cursor = work.after(cursor, item);
    number = number + 1 == S::kScaleSlots ? 0 : number + 1;
  }
  wait_for_copies<0>();
}

}  // namespace ernie::kernels::quantized
