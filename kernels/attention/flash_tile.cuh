#pragma once

#include "kernels/attention/tensor_core.cuh"
#include "kernels/common/reduce.cuh"

// Exact attention of a tile of query rows over a stream of key tiles with a running maximum and sum
// (FlashAttention-2, arXiv 2307.08691), on m16n8k16 products. The key tiles of a row start at
// multiples of kKeys and come in rising order, and what a row adds for keys it does not see is
// exactly 0, so a row's bits do not depend on the tile of rows it is in.
namespace ernie::kernels::attention {

template <int kDim_, int kWarps_, int kRowTiles_, int kKeys_>
struct FlashShape {
  static constexpr int kDim = kDim_;  // a multiple of 16; head_dim may be smaller
  static constexpr int kWarps = kWarps_;
  static constexpr int kRowTiles = kRowTiles_;  // of 16 rows, for each warp
  static constexpr int kKeys = kKeys_;          // of a tile, a multiple of 16
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kRows = kWarps * kRowTiles * 16;
  static constexpr int kChunks = kDim / 8;         // 16-byte units of a row
  static constexpr int kRowBytes = kDim * 2 + 16;  // an odd number of units: no bank conflicts
  static constexpr int kTileBytes = kKeys * kRowBytes;
  static constexpr int kSharedBytes = kRows * kRowBytes + 4 * kTileBytes;
  static_assert(kDim % 16 == 0 && kKeys % 16 == 0);
  static_assert(kKeys * kChunks % kThreads == 0 && kRows * kChunks % kThreads == 0);
};

// Source gives the addresses:
//   int head_dim                     a multiple of 8, at most kDim
//   int keys                         that the last row sees
//   int fully_visible                keys that every row sees
//   int rows                         of this tile that exist, at least 1
//   int last_key(int row)            for row < rows
//   const bf16* query(int row), bf16* out(int row)
//   const bf16 *key_base, *value_base
//   int64_t key_offset(int tile, int key_of_tile)   in elements, for a key below `keys`
//   void begin_lookup(int tile), void end_lookup(int tile): key_offset(tile) may be asked for after
//       both and a barrier; between them a load may be under way
// `shared` holds Shape::kSharedBytes. All threads of the block must call this.
template <class Shape, class Source>
__device__ __forceinline__ void flash_attention(Source& source, unsigned char* shared,
                                                float scale_log2) {
  constexpr int kKeys = Shape::kKeys;
  constexpr int kRowTiles = Shape::kRowTiles;
  constexpr int kRowBytes = Shape::kRowBytes;
  constexpr int kChunks = Shape::kChunks;
  constexpr int kColumns = kKeys / 8;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const uint32_t query_at = shared_address(shared);
  const uint32_t tiles_at = query_at + Shape::kRows * kRowBytes;  // [2][keys, values]
  const int tiles = (source.keys + kKeys - 1) / kKeys;

  const auto copy_tile = [&](int tile) {
    const uint32_t to = tiles_at + tile % 2 * 2 * Shape::kTileBytes;
#pragma unroll
    for (int j = 0; j < kKeys * kChunks / Shape::kThreads; ++j) {
      const int i = threadIdx.x + j * Shape::kThreads;
      const int key = i / kChunks;
      const int chunk = i % kChunks;
      const bool valid = tile * kKeys + key < source.keys && chunk * 8 < source.head_dim;
      const int64_t at = valid ? source.key_offset(tile, key) + chunk * 8 : 0;
      const uint32_t place = to + key * kRowBytes + chunk * 16;
      copy_async16(place, source.key_base + at, valid);
      copy_async16(place + Shape::kTileBytes, source.value_base + at, valid);
    }
  };

  source.begin_lookup(0);
  source.end_lookup(0);
  source.begin_lookup(1);
  source.end_lookup(1);
#pragma unroll
  for (int j = 0; j < Shape::kRows * kChunks / Shape::kThreads; ++j) {
    const int i = threadIdx.x + j * Shape::kThreads;
    const int row = i / kChunks;
    const int chunk = i % kChunks;
    const bool valid = row < source.rows && chunk * 8 < source.head_dim;
    copy_async16(query_at + row * kRowBytes + chunk * 16,
                 valid ? source.query(row) + chunk * 8 : source.key_base, valid);
  }
  __syncthreads();
  copy_tile(0);
  commit_copies();

  // Of rows g and g + 8 of each row tile of this warp.
  float sums[kRowTiles][Shape::kDim / 8][4] = {};
  float top[kRowTiles][2];
  float total[kRowTiles][2] = {};
  int last_key[kRowTiles][2];
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      top[m][half] = -INFINITY;
      // Rows that do not exist see what the last one sees: their sums stay finite.
      const int row = (warp * kRowTiles + m) * 16 + half * 8 + lane / 4;
      last_key[m][half] = source.last_key(min(row, source.rows - 1));
    }
  }

  for (int tile = 0; tile < tiles; ++tile) {
    wait_copies<0>();
    __syncthreads();  // this tile is there, and nobody reads the one before it
    if (tile + 1 < tiles) copy_tile(tile + 1);
    commit_copies();
    source.begin_lookup(tile + 2);
    const uint32_t keys_at = tiles_at + tile % 2 * 2 * Shape::kTileBytes;
    const uint32_t values_at = keys_at + Shape::kTileBytes;

    float scores[kRowTiles][kColumns][4] = {};
    const uint32_t own_query =
        query_at + (warp * kRowTiles * 16 + lane % 16) * kRowBytes + lane / 16 * 16;
    const uint32_t own_keys = keys_at + (lane / 16 * 8 + lane % 8) * kRowBytes + lane / 8 % 2 * 16;
#pragma unroll
    for (int k = 0; k < Shape::kDim / 16; ++k) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        load_matrices(a[m], own_query + m * 16 * kRowBytes + k * 32);
      }
#pragma unroll
      for (int n = 0; n < kColumns / 2; ++n) {
        uint32_t b[4];
        load_matrices(b, own_keys + n * 16 * kRowBytes + k * 32);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma_bf16(scores[m][2 * n], a[m], b[0], b[1]);
          mma_bf16(scores[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
    }

    const bool all_visible = (tile + 1) * kKeys <= source.fully_visible;
    bool changed = false;
    float rescale[kRowTiles][2];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (!all_visible) {
          const int first_hidden = last_key[m][half] + 1 - tile * kKeys;
#pragma unroll
          for (int n = 0; n < kColumns; ++n) {
            const int key = n * 8 + lane % 4 * 2;
            if (key >= first_hidden) scores[m][n][2 * half] = -INFINITY;
            if (key + 1 >= first_hidden) scores[m][n][2 * half + 1] = -INFINITY;
          }
        }
        float largest = top[m][half];
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          largest = fmaxf(largest, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
        }
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
        // Key 0 is in the first tile and every row sees it, so `largest` is finite from there on.
        // Rounded products: contracted with the subtraction, equal maxima would not give exactly 1.
        const float scaled = __fmul_rn(largest, scale_log2);
        rescale[m][half] = fast_exp2(__fmul_rn(top[m][half], scale_log2) - scaled);
        changed |= top[m][half] != largest;
        top[m][half] = largest;
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& x = scores[m][n][2 * half + e];
            x = fast_exp2(fmaf(x, scale_log2, -scaled));
            sum += x;
          }
        }
        total[m][half] = total[m][half] * rescale[m][half] + sum;
      }
    }
    // Where no maximum changed, the factors are exactly 1.
    if (__any_sync(kAllLanes, changed)) {
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < Shape::kDim / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) sums[m][n][e] *= rescale[m][e / 2];
        }
      }
    }

    const uint32_t own_values =
        values_at + (lane / 8 % 2 * 8 + lane % 8) * kRowBytes + lane / 16 * 16;
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* x = scores[m][2 * k + i / 2];
          a[m][i] = pack_bf16(x[i % 2 * 2], x[i % 2 * 2 + 1]);
        }
      }
#pragma unroll
      for (int n = 0; n < Shape::kDim / 16; ++n) {
        uint32_t b[4];
        load_matrices_transposed(b, own_values + k * 16 * kRowBytes + n * 32);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma_bf16(sums[m][2 * n], a[m], b[0], b[1]);
          mma_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
    }
    source.end_lookup(tile + 2);
  }

  // A warp's query rows in shared memory are read by no other warp: the results go there, so that
  // they leave in units of 16 bytes.
  unsigned char* own_rows = shared + warp * kRowTiles * 16 * kRowBytes;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = total[m][half];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      const float inverse = 1.0f / sum;
      unsigned char* row = own_rows + (m * 16 + half * 8 + lane / 4) * kRowBytes + lane % 4 * 4;
#pragma unroll
      for (int n = 0; n < Shape::kDim / 8; ++n) {
        *reinterpret_cast<uint32_t*>(row + n * 16) =
            pack_bf16(sums[m][n][2 * half] * inverse, sums[m][n][2 * half + 1] * inverse);
      }
    }
  }
  __syncwarp();
#pragma unroll
  for (int i = lane; i < kRowTiles * 16 * kChunks; i += 32) {
    const int row = i / kChunks;
    const int chunk = i % kChunks;
    const int row_of_block = warp * kRowTiles * 16 + row;
    if (row_of_block < source.rows && chunk * 8 < source.head_dim) {
      *reinterpret_cast<uint4*>(source.out(row_of_block) + chunk * 8) =
          *reinterpret_cast<const uint4*>(own_rows + row * kRowBytes + chunk * 16);
    }
  }
}

}  // namespace ernie::kernels::attention
