#pragma once

#include <cuda_bf16.h>

#include "kernels/common/launch.cuh"
#include "kernels/moe/mma.cuh"
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
  const unsigned char* values;
  const __nv_bfloat16* scales;
  bool int4;
  int group;
  int k;      // columns of the matrix
  int slab;   // the first
  int slabs;  // at most max_slabs() of the shape
  int row;    // of the activations, the first
  int rows;   // at most kRows of the shape
};

// kTiles tiles of 8 rows of activations meet kSlabs slabs of int4 or half as many of int8, 512
// bytes each. kGroups: some scales are of groups, so all are applied along the way.
template <int kTiles_, int kSlabs_, int kStages_, bool kGroups_>
struct Shape {
  static constexpr int kWarps = 8;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kTiles = kTiles_;
  static constexpr int kSlabs = kSlabs_;
  static constexpr int kStages = kStages_;
  static constexpr bool kGroups = kGroups_;
  static constexpr int kRows = 8 * kTiles;
  static constexpr int kBlocks = kTiles == 1 ? 2 : 1;  // on a multiprocessor
  static constexpr int kValueBytes = 512 * kSlabs;
  static constexpr int kScaleBytes = kGroups ? 64 * kSlabs : 0;
  // The sums of so many slabs are exchanged at a time: two threads of the block to a lane of each.
  static constexpr int kExchanged = kThreads / 64;
  static constexpr int kSlabPasses = kSlabs / kExchanged;
  static_assert(kSlabs % kExchanged == 0);

  static constexpr __host__ __device__ int max_slabs(bool int4) {
    return int4 ? kSlabs : kSlabs / 2;
  }
  static constexpr __host__ __device__ int stage_bytes(int rows) {
    return kValueBytes + kScaleBytes + (rows < kRows ? rows : kRows) * 128;
  }
  static constexpr size_t ring_bytes(int rows) {
    return size_t{kWarps} * kStages * static_cast<size_t>(stage_bytes(rows));
  }
  struct Exchange {
    float sums[kWarps][kExchanged][4][32];
  };
};

// These differ in speed only: the order of additions is the same.
template <bool kGroups>
using OneRow = Shape<1, 4, kGroups ? 4 : 5, kGroups>;
template <bool kGroups>
using FewRows = Shape<1, 4, 3, kGroups>;
template <bool kGroups>
using MoreRows = Shape<2, 8, kGroups ? 3 : 4, kGroups>;
template <bool kGroups>
using MoreRowsLessMemory = Shape<2, 4, 3, kGroups>;

// 16 bytes through L1: other warps of the multiprocessor want the same activations.
__device__ __forceinline__ void copy16_cached(uint32_t to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
}

__device__ __forceinline__ uint32_t subtract_bf16(uint32_t a, uint32_t b) {
  const __nv_bfloat162 difference = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                            *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&difference);
}
// Bits 0..3 and 16..19 as two bfloat16: 0x4300 is 128, whose last bit is worth 1.
__device__ __forceinline__ uint32_t nibbles_to_bf16(uint32_t x) {
  return subtract_bf16((x & 0x000f000fu) | 0x43004300u, 0x43084308u);
}
// Bytes 0 and 2 as two bfloat16.
__device__ __forceinline__ uint32_t bytes_to_bf16(uint32_t x) {
  return subtract_bf16((x & 0x007f007fu) | 0x43004300u, (x & 0x00800080u) | 0x43004300u);
}

// Half of a tile's k of one slab: two steps of 16.
template <bool kInt4, int kTiles, int kAllTiles>
__device__ __forceinline__ void multiply_half(const uint32_t* words,
                                              const uint32_t (&tokens)[kTiles][8], int half,
                                              float (&sums)[kAllTiles][4]) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    uint32_t a[4];
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      a[p] = kInt4 ? nibbles_to_bf16(words[step] >> (4 * p))
                   : bytes_to_bf16(words[2 * step + p / 2] >> (8 * (p % 2)));
    }
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      multiply_add(sums[i], a[0], a[1], a[2], a[3], tokens[i][4 * half + 2 * step],
                   tokens[i][4 * half + 2 * step + 1]);
    }
  }
}

// The product of a stage. kTiles of the shape's tiles have rows.
template <class S, bool kInt4, int kTiles>
__device__ __forceinline__ void multiply_stage(const unsigned char* stage, int stage_rows,
                                               int slabs, float (&sums)[S::kSlabs][S::kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const unsigned char* scales = stage + S::kValueBytes;
  const uint32_t x = shared_address(stage + S::kValueBytes + S::kScaleBytes);
  uint32_t tokens[kTiles][8];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    // Columns without a row may have anything: a column is the sum of its own products.
    const int row = min(8 * i + lane % 8, stage_rows - 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t fragments[4];
      load_matrices(fragments, x + row * 128 + ((4 * half + lane / 8) ^ (row % 8)) * 16);
#pragma unroll
      for (int j = 0; j < 4; ++j) tokens[i][4 * half + j] = fragments[j];
    }
  }
  const auto* values = reinterpret_cast<const uint4*>(stage) + lane;
  constexpr int kSlabs = kInt4 ? S::kSlabs : S::kSlabs / 2;
#pragma unroll
  for (int pair = 0; pair < kSlabs;
       pair += 2) {  // products of two slabs do not wait for each other
    if (pair >= slabs) break;
#pragma unroll
    for (int slab = pair; slab < pair + 2; ++slab) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint4 v = values[(kInt4 ? slab : 2 * slab + half) * 32];
        const uint32_t all[4] = {v.x, v.y, v.z, v.w};
        const uint32_t* words = kInt4 ? all + 2 * half : all;
        if constexpr (S::kGroups) {
          float part[kTiles][4] = {};
          multiply_half<kInt4>(words, tokens, half, part);
          const auto* scale = reinterpret_cast<const __nv_bfloat16*>(scales) +
                              (2 * slab + half) * kSlabRows + lane / 4;
          const float low = to_float(scale[0]);
          const float high = to_float(scale[8]);
#pragma unroll
          for (int i = 0; i < kTiles; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              float& sum = sums[slab][i][j];
              sum = fmaf(part[i][j], j < 2 ? low : high, sum);
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
  __device__ explicit Fetcher(const Work& work)
      : work_(work),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32),
        cursor_(work.first()) {
    begin_item();
  }

  __device__ bool has_stage() const { return has_; }
  __device__ void copy_weights(uint32_t stage) const {
    const unsigned char* from = item_.values + lane_ * 16 + size_t{unsigned(k_tile_)} * tile_bytes_;
    const int copies = item_.int4 ? item_.slabs : 2 * item_.slabs;
#pragma unroll
    for (int c = 0; c < S::kSlabs; ++c) {
      if (c < copies) copy16_stream(stage + c * 512 + lane_ * 16, from + offsets_[c], true);
    }
    if constexpr (S::kGroups) {
      // Sixteen scales for each slab and half of the tile.
      const int slab = lane_ / 4;
      const int at = k_tile_ * kQuantizedTile + lane_ / 2 % 2 * (kQuantizedTile / 2);
      const int groups = static_cast<int>(quantized_groups(item_.k, item_.group));
      const int group = item_.group == 0 ? 0 : min(at / item_.group, groups - 1);
      if (slab < item_.slabs) {
        copy16_stream(stage + S::kValueBytes + lane_ * 16,
                      item_.scales +
                          (size_t{unsigned(item_.slab + slab)} * groups + group) * kSlabRows +
                          lane_ % 2 * 8,
                      true);
      }
    }
  }
  __device__ void copy_tokens(uint32_t stage) const {
    const int chunk = lane_ % 8;
    const int at = k_tile_ * kQuantizedTile + chunk * 8;
    const bool inside = at < item_.k;
#pragma unroll
    for (int i = 0; i < S::kRows / 4; ++i) {
      const int row = 4 * i + lane_ / 8;
      if (row < item_.rows) {
        copy16_cached(
            stage + S::kValueBytes + S::kScaleBytes + row * 128 + (chunk ^ (row % 8)) * 16,
            rows_[i] + (inside ? at : 0), inside);
      }
    }
  }
  __device__ void advance() {
    k_tile_ += S::kWarps;
    if (k_tile_ < k_tiles_) return;
    cursor_ = work_.after(cursor_, item_);
    begin_item();
  }

 private:
  __device__ void begin_item() {
    while ((has_ = work_.find(cursor_))) {
      item_ = work_.item(cursor_);
      k_tile_ = warp_;
      k_tiles_ = (item_.k + kQuantizedTile - 1) / kQuantizedTile;
      if (k_tile_ < k_tiles_) break;
      cursor_ = work_.after(cursor_, item_);
    }
    if (!has_) return;
    const WeightType type = item_.int4 ? WeightType::kInt4 : WeightType::kInt8;
    tile_bytes_ = tile_bytes(type);
#pragma unroll
    for (int c = 0; c < S::kSlabs; ++c) {
      const int slab = item_.slab + (item_.int4 ? c : c / 2);
      offsets_[c] =
          static_cast<uint32_t>(slab_offset(type, slab, k_tiles_)) + (item_.int4 ? 0 : c % 2 * 512);
    }
#pragma unroll
    for (int i = 0; i < S::kRows / 4; ++i) {
      rows_[i] = work_.row(item_, min(4 * i + lane_ / 8, item_.rows - 1));
    }
  }

  const Work& work_;
  int warp_;
  int lane_;
  typename Work::Cursor cursor_;
  bool has_ = false;
  Item item_;
  int k_tile_ = 0;
  int k_tiles_ = 0;
  int tile_bytes_ = 0;
  uint32_t offsets_[S::kSlabs];
  const __nv_bfloat16* rows_[S::kRows / 4];
};

// A block's ring, and the stages of its warp that hold weights already.
template <class S>
struct Ring {
  unsigned char* stages;  // of the warp
  int stage_rows;
  int stage_bytes;
  int fetched = 0;

  __device__ Ring(unsigned char* memory, int rows)
      : stage_rows(min(rows, S::kRows)), stage_bytes(S::stage_bytes(rows)) {
    stages = memory + threadIdx.x / 32 * S::kStages * stage_bytes;
  }
  __device__ unsigned char* stage(int slot) const { return stages + slot * stage_bytes; }
};

// Starts the first weights on their way, as far as `work` knows what comes: before the wait for the
// kernel that makes the activations.
template <class S, class Work>
__device__ __forceinline__ void prefetch_weights(Ring<S>& ring, const Work& work) {
  Fetcher<S, Work> fetcher(work);
  for (; ring.fetched < S::kStages - 1 && fetcher.has_stage(); ++ring.fetched) {
    fetcher.copy_weights(shared_address(ring.stage(ring.fetched)));
    fetcher.advance();
  }
}

// All of the block's work, which begins as it did at prefetch_weights(). finish(item, slab, g, row,
// low, high) gets the sums of stored rows g and g + 8 of each slab.
template <class S, class Work>
__device__ __forceinline__ void stream_products(const Ring<S>& ring, const Work& work,
                                                typename S::Exchange& exchange) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  Fetcher<S, Work> fetcher(work);
  for (int i = 0; i < S::kStages - 1; ++i) {
    if (fetcher.has_stage()) {
      const uint32_t stage = shared_address(ring.stage(i));
      if (i >= ring.fetched) fetcher.copy_weights(stage);
      fetcher.copy_tokens(stage);
      fetcher.advance();
    }
    commit_copies();
  }
  int slot = 0;
  for (auto cursor = work.first(); work.find(cursor);) {
    const Item item = work.item(cursor);
    // This thread's part of the exchange: a slab of each pass, one row of each tile.
    const int exchanged = static_cast<int>(threadIdx.x) / 64;
    const int g = lane / 4;
    const int column = 2 * (lane % 4) + warp % 2;
    __nv_bfloat16 scales[S::kSlabPasses][2];
    if constexpr (!S::kGroups) {
#pragma unroll
      for (int pass = 0; pass < S::kSlabPasses; ++pass) {
        const int slab = min(pass * S::kExchanged + exchanged, item.slabs - 1);
        const __nv_bfloat16* scale =
            item.scales + size_t{unsigned(item.slab + slab)} * kSlabRows + g;
        scales[pass][0] = scale[0];
        scales[pass][1] = scale[8];
      }
    }
    float sums[S::kSlabs][S::kTiles][4] = {};
    for (int k_tile = warp; k_tile * kQuantizedTile < item.k; k_tile += S::kWarps) {
      wait_for_copies<S::kStages - 2>();
      __syncwarp();
      // The stage before this one is free: its products are done.
      if (fetcher.has_stage()) {
        const uint32_t stage = shared_address(ring.stage(slot == 0 ? S::kStages - 1 : slot - 1));
        fetcher.copy_weights(stage);
        fetcher.copy_tokens(stage);
        fetcher.advance();
      }
      commit_copies();
      const unsigned char* stage = ring.stage(slot);
      const auto multiply = [&]<int kTiles>() {
        if (item.int4) {
          multiply_stage<S, true, kTiles>(stage, ring.stage_rows, item.slabs, sums);
        } else {
          multiply_stage<S, false, kTiles>(stage, ring.stage_rows, item.slabs, sums);
        }
      };
      if (S::kTiles == 1 || item.rows <= 8) {
        multiply.template operator()<1>();
      } else {
        multiply.template operator()<S::kTiles>();
      }
      slot = slot + 1 == S::kStages ? 0 : slot + 1;
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
            exchange.sums[warp][i][j][lane] = sums[pass * S::kExchanged + i][tile][j];
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
        if constexpr (!S::kGroups) {
          low *= to_float(scales[pass][0]);
          high *= to_float(scales[pass][1]);
        }
        work.finish(item, item.slab + slab, g, row, low, high);
      }
    }
    cursor = work.after(cursor, item);
  }
  wait_for_copies<0>();
}

}  // namespace ernie::kernels::quantized
