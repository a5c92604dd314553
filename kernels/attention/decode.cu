#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/attention/paged_kernels.h"
#include "kernels/attention/sequence_scan.cuh"
#include "kernels/attention/tensor_core.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/quantized/cache_cells.cuh"

// Attention of one query per sequence. A work item is one split of the keys of one sequence for the
// query heads of one key-value head, which are the rows of m16n8k16 products. Blocks walk over the
// items with the stride of the grid. Inside an item each warp has its own tiles of 16 keys, its own
// ring of shared-memory stages and its own running maximum and sums; the warps are merged at the
// item's end, and the splits of a sequence by the block that ends its last one.
//
// Cells of a quantised cache are copied as they are and multiplied as the small numbers they hold,
// which bfloat16 has exactly: a key's scale multiplies its score and a value's scale its weight,
// both in float32. A lane takes neighbouring cells of a row. So the sums over head_dim run in
// another order, queries and keys alike, and a result's column n * 8 + j (PTX's) is element
// j * head_dim / 8 + n.
namespace ernie::kernels::attention {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kTileKeys = 16;

// A stage in shared memory: rows of keys, rows of values, then the scales of each key. Strides of
// rows are such that the lanes that are served together find their elements in different banks.
template <int kHeadDim, CacheType kCacheType>
struct TileShape {
  static constexpr int kDim = kHeadDim;
  static constexpr CacheType kCache = kCacheType;
  static constexpr bool kHasCells = kCache != CacheType::kPlain;
  static constexpr int kElementBytes = kHasCells ? 1 : 2;
  static constexpr int kKeyStride = !kHasCells ? kDim * 2 + 16 : kDim == 64 ? 64 : kDim + 16;
  static constexpr int kValueStride = kDim * kElementBytes + 16;
  static constexpr int kValuesAt = kTileKeys * kKeyStride;
  static constexpr int kScalesAt = kValuesAt + kTileKeys * kValueStride;
  static constexpr int kBytes = kScalesAt + (kHasCells ? kTileKeys * 4 : 0);
};

template <class Tile, int kStages>
constexpr int kWarpBytes = kStages* Tile::kBytes;
// Row stride of a warp's sums when they are merged, in floats.
template <int kDim>
constexpr int kMergeStride = kDim + 8;

struct DecodeArgs {
  PagedAttentionParams p;
  int group;  // query heads per kv head
  int parts;  // parts of a group
  float scale_log2;
  float* partial_sums;     // [num_seqs, max_splits, q_heads, head_dim]
  float2* partial_states;  // [num_seqs, max_splits, q_heads]: maximum, sum
  unsigned* arrived;       // [num_seqs, kv_heads * parts]
  int max_splits;
};

// Of a work item.
struct Item {
  int sequence;
  int row;  // of qkv and out
  int kv_head;
  int head;   // first query head
  int heads;  // number of query heads
  int counter;
  int split;
  int splits;
  int first_key;
  int end_key;
};

__device__ __forceinline__ Item find_item(const DecodeArgs& a, const int* first, int index) {
  const int per_split = a.p.kv_heads * a.parts;
  const int unit = index / per_split;
  const int part_of_heads = index % per_split;
  Item item;
  item.sequence = find_sequence(first, a.p.num_seqs, unit);
  item.row = a.p.query_start[item.sequence];
  const int context = a.p.context_len[item.sequence];
  const int keys = static_cast<int>(split_keys(context));
  item.split = unit - first[item.sequence];
  item.splits = first[item.sequence + 1] - first[item.sequence];
  item.first_key = item.split * keys;
  item.end_key = min(item.first_key + keys, context);
  item.kv_head = part_of_heads / a.parts;
  const int first_of_group = part_of_heads % a.parts * kHeadsPerItem;
  item.head = item.kv_head * a.group + first_of_group;
  item.heads = min(kHeadsPerItem, a.group - first_of_group);
  item.counter = item.sequence * per_split + part_of_heads;
  return item;
}

// exp2(x - top), or 0 where nothing was seen.
__device__ __forceinline__ float weight_of(float x, float top) {
  return x == -INFINITY ? 0.0f : fast_exp2(x - top);
}

// What one warp has summed over its tiles: rows are query heads g and g + 8.
template <int kDim>
struct WarpState {
  float sums[kDim / 8][4];
  float top[2];
  float total[2];  // of this lane's columns
};

// First of the two neighbouring elements of the query that query[k][r] holds.
template <class Tile>
__device__ __forceinline__ int query_element(int k, int r) {
  const int column = threadIdx.x % 4;
  if constexpr (Tile::kHasCells) return column * (Tile::kDim / 4) + k * 4 + r / 2 * 2;
  return k * 16 + r / 2 * 8 + column * 2;
}

// scores[n] += the products of the queries with keys 8 n to 8 n + 7 of a stage.
template <class Tile>
__device__ __forceinline__ void multiply_keys(float (&scores)[2][4],
                                              const uint32_t (&query)[Tile::kDim / 16][4],
                                              uint32_t stage) {
  const int lane = threadIdx.x % 32;
  if constexpr (Tile::kHasCells) {
    constexpr int kLaneBytes = Tile::kDim / 4;
#pragma unroll
    for (int part = 0; part < kLaneBytes / 16; ++part) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        uint32_t cells[4];
        load_shared(cells, stage + (n * 8 + lane / 4) * Tile::kKeyStride + lane % 4 * kLaneBytes +
                               part * 16);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          mma_bf16(scores[n], query[part * 4 + i],
                   cells_to_bf16<Tile::kCache, 0, 1>(cells[i], cells[i]),
                   cells_to_bf16<Tile::kCache, 2, 3>(cells[i], cells[i]));
        }
      }
    }
  } else {
    const uint32_t keys = stage + (lane / 16 * 8 + lane % 8) * Tile::kKeyStride + lane / 8 % 2 * 16;
#pragma unroll
    for (int k = 0; k < Tile::kDim / 16; ++k) {
      uint32_t b[4];
      load_matrices(b, keys + k * 32);
      mma_bf16(scores[0], query[k], b[0], b[1]);
      mma_bf16(scores[1], query[k], b[2], b[3]);
    }
  }
}

// sums += weights * the values of a stage.
template <class Tile>
__device__ __forceinline__ void multiply_values(float (&sums)[Tile::kDim / 8][4],
                                                const uint32_t (&weights)[4], uint32_t stage) {
  const int lane = threadIdx.x % 32;
  if constexpr (Tile::kHasCells) {
    constexpr int kWords = Tile::kDim / 32;  // of a lane in a row
    uint32_t cells[4][kWords];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = lane % 4 * 2 + i % 2 + i / 2 * 8;
      load_shared(cells[i],
                  stage + Tile::kValuesAt + key * Tile::kValueStride + lane / 4 * (kWords * 4));
    }
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      const auto multiply = [&](auto byte) {
        constexpr int kByte = decltype(byte)::value;
        mma_bf16(sums[w * 4 + kByte], weights,
                 cells_to_bf16<Tile::kCache, kByte, kByte>(cells[0][w], cells[1][w]),
                 cells_to_bf16<Tile::kCache, kByte, kByte>(cells[2][w], cells[3][w]));
      };
      multiply(std::integral_constant<int, 0>());
      multiply(std::integral_constant<int, 1>());
      multiply(std::integral_constant<int, 2>());
      multiply(std::integral_constant<int, 3>());
    }
  } else {
    const uint32_t values = stage + Tile::kValuesAt +
                            (lane / 8 % 2 * 8 + lane % 8) * Tile::kValueStride + lane / 16 * 16;
#pragma unroll
    for (int n = 0; n < Tile::kDim / 16; ++n) {
      uint32_t b[4];
      load_matrices_transposed(b, values + n * 32);
      mma_bf16(sums[2 * n], weights, b[0], b[1]);
      mma_bf16(sums[2 * n + 1], weights, b[2], b[3]);
    }
  }
}

// One tile of kTileKeys keys in shared memory at `stage`.
template <class Tile>
__device__ __forceinline__ void attend_tile(WarpState<Tile::kDim>& state,
                                            const uint32_t (&query)[Tile::kDim / 16][4],
                                            uint32_t stage, int valid_keys, float scale_log2) {
  const int lane = threadIdx.x % 32;
  float scores[2][4] = {};
  multiply_keys<Tile>(scores, query, stage);
  // Of keys 8 n + 2 (lane % 4) + e: the key's in the lower half, the value's in the upper.
  [[maybe_unused]] uint32_t scales[2][2];
  if constexpr (Tile::kHasCells) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      load_shared(scales[n], stage + Tile::kScalesAt + (n * 8 + lane % 4 * 2) * 4);
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] *= __uint_as_float(scales[n][i % 2] << 16);
    }
  }
  float rescale[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float top = state.top[half];
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& x = scores[n][half * 2 + e];
        const int key = n * 8 + lane % 4 * 2 + e;
        x = key < valid_keys ? x * scale_log2 : -INFINITY;
        top = fmaxf(top, x);
      }
    }
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
    rescale[half] = weight_of(state.top[half], top);
    state.top[half] = top;
    float total = 0.0f;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& x = scores[n][half * 2 + e];
        x = fast_exp2(x - top);
        total += x;
      }
    }
    state.total[half] = state.total[half] * rescale[half] + total;
  }
  // Multiplying by exactly 1 changes nothing, so the vote does not change the bits.
  if (__any_sync(kAllLanes, rescale[0] != 1.0f || rescale[1] != 1.0f)) {
#pragma unroll
    for (int n = 0; n < Tile::kDim / 8; ++n) {
      state.sums[n][0] *= rescale[0];
      state.sums[n][1] *= rescale[0];
      state.sums[n][2] *= rescale[1];
      state.sums[n][3] *= rescale[1];
    }
  }
  if constexpr (Tile::kHasCells) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] *= __uint_as_float(scales[n][i % 2] & 0xffff0000u);
      }
    }
  }
  const uint32_t weights[4] = {
      pack_bf16(scores[0][0], scores[0][1]), pack_bf16(scores[0][2], scores[0][3]),
      pack_bf16(scores[1][0], scores[1][1]), pack_bf16(scores[1][2], scores[1][3])};
  multiply_values<Tile>(state.sums, weights, stage);
}

// The block that ends the last split of (sequence, heads) adds the splits up in their order.
template <int kDim>
__device__ __forceinline__ void combine_splits(const DecodeArgs& a, const Item& item,
                                               float* weights) {
  const int64_t first_state =
      static_cast<int64_t>(item.sequence) * a.max_splits * a.p.q_heads + item.head;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  for (int h = warp; h < item.heads; h += kWarps) {
    static_assert(kMaxSplits <= 64);
    float2 state[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int split = lane + 32 * i;
      state[i] =
          split < item.splits
              ? __ldcg(
                    &a.partial_states[first_state + h + static_cast<int64_t>(split) * a.p.q_heads])
              : make_float2(-INFINITY, 0.0f);
    }
    const float top = warp_max(fmaxf(state[0].x, state[1].x));
    const float w0 = weight_of(state[0].x, top);
    const float w1 = weight_of(state[1].x, top);
    const float total = warp_sum(w0 * state[0].y + w1 * state[1].y);
    weights[h * kMaxSplits + lane] = w0 / total;
    weights[h * kMaxSplits + lane + 32] = w1 / total;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < item.heads * (kDim / 4); i += kThreads) {
    const int h = i / (kDim / 4);
    const int at = i % (kDim / 4) * 4;
    const float* sums = a.partial_sums + (first_state + h) * kDim + at;
    const int64_t stride = static_cast<int64_t>(a.p.q_heads) * kDim;
    float4 out = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 8
    for (int split = 0; split < item.splits; ++split) {
      const float4 x = __ldcg(reinterpret_cast<const float4*>(sums + split * stride));
      const float w = weights[h * kMaxSplits + split];
      out.x += w * x.x;
      out.y += w * x.y;
      out.z += w * x.z;
      out.w += w * x.w;
    }
    __nv_bfloat16* row = static_cast<__nv_bfloat16*>(a.p.out) +
                         (static_cast<int64_t>(item.row) * a.p.q_heads + item.head + h) * kDim + at;
    *reinterpret_cast<uint2*>(row) = make_uint2(pack_bf16(out.x, out.y), pack_bf16(out.z, out.w));
  }
}

template <class Tile, int kStages, int kBlocksPerMultiprocessor>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    decode_kernel(const __grid_constant__ DecodeArgs a) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ int first[kMaxAttentionSequences + 1];
  __shared__ unsigned last_of_item;
  constexpr int kDim = Tile::kDim;
  constexpr int kChunks = kDim * Tile::kElementBytes / 16;  // 16-byte units of a row
  constexpr int kRowsPerCopy = 32 / kChunks;                // rows that a warp copies at once
  constexpr int kCopies = kTileKeys / kRowsPerCopy;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const PagedAttentionParams& p = a.p;

  let_next_kernel_start();
  // The kernel before this one writes the queries and each sequence's last key and value; all else
  // is read before it has ended.
  scan_sequences(p.num_seqs, first, [&](int s) {
    const int queries = p.query_start[s + 1] - p.query_start[s];
    return queries == 1 ? static_cast<int>(split_count(p.context_len[s])) : 0;
  });
  const int items = first[p.num_seqs] * p.kv_heads * a.parts;
  unsigned char* own = shared + warp * kWarpBytes<Tile, kStages>;
  const uint32_t stages = shared_address(own);

  for (int index = blockIdx.x; index < items; index += gridDim.x) {
    const Item item = find_item(a, first, index);
    const int32_t* table = p.block_tables + static_cast<int64_t>(item.sequence) * p.max_blocks;
    const int tiles = (max(item.end_key - item.first_key, 0) + kTileKeys - 1) / kTileKeys;
    const int own_tiles = tiles > warp ? (tiles - warp + kWarps - 1) / kWarps : 0;

    // The row of the cache that holds key lane % 16 of a tile of this warp.
    const auto tile_key = [&](int i) { return item.first_key + (warp + i * kWarps) * kTileKeys; };
    const auto look_up = [&](int i) -> unsigned {
      const int key = tile_key(i) + lane % kTileKeys;
      if (i >= own_tiles || key >= item.end_key) return 0;
      const unsigned block = static_cast<unsigned>(table[key / p.block_size]);
      return (block * p.kv_heads + item.kv_head) * p.block_size + key % p.block_size;
    };
    const auto copy_tile = [&](int i, unsigned rows) {
      if (i < own_tiles) {
        const uint32_t stage = stages + i % kStages * Tile::kBytes;
#pragma unroll
        for (int j = 0; j < kCopies; ++j) {
          const int r = lane / kChunks + j * kRowsPerCopy;
          const int64_t at =
              static_cast<int64_t>(__shfl_sync(kAllLanes, rows, r)) * (kDim * Tile::kElementBytes) +
              lane % kChunks * 16;
          const bool valid = tile_key(i) + r < item.end_key;
          const uint32_t to = stage + lane % kChunks * 16;
          copy_async16(to + r * Tile::kKeyStride, static_cast<const char*>(p.keys) + at, valid);
          copy_async16(to + Tile::kValuesAt + r * Tile::kValueStride,
                       static_cast<const char*>(p.values) + at, valid);
        }
        if constexpr (Tile::kHasCells) {
          if (lane < kTileKeys) {
            copy_async4(stage + Tile::kScalesAt + lane * 4,
                        static_cast<const __nv_bfloat162*>(p.scales) + rows,
                        tile_key(i) + lane < item.end_key);
          }
        }
      }
      commit_copies();  // also an empty group, so that group i is always tile i
    };
    const auto holds_last_key = [&](int i) {
      return item.split == item.splits - 1 && tile_key(i) + kTileKeys >= item.end_key;
    };
#pragma unroll
    for (int i = 0; i < kStages - 1; ++i) {
      const unsigned rows = look_up(i);
      if (holds_last_key(i)) wait_for_previous_kernel();
      copy_tile(i, rows);
    }
    unsigned next_rows = look_up(kStages - 1);
    wait_for_previous_kernel();

    // Rows beyond the heads are zero.
    uint32_t query[kDim / 16][4];
    {
      const int64_t width = static_cast<int64_t>(p.q_heads + 2 * p.kv_heads) * kDim;
      const __nv_bfloat16* q =
          static_cast<const __nv_bfloat16*>(p.qkv) + item.row * width + item.head * kDim;
#pragma unroll
      for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          const int head = lane / 4 + r % 2 * 8;
          query[k][r] =
              head < item.heads
                  ? *reinterpret_cast<const uint32_t*>(q + head * kDim + query_element<Tile>(k, r))
                  : 0u;
        }
      }
    }
    WarpState<kDim> state = {};
    state.top[0] = state.top[1] = -INFINITY;
    for (int i = 0; i < own_tiles; ++i) {
      copy_tile(i + kStages - 1, next_rows);
      next_rows = look_up(i + kStages);
      wait_copies<kStages - 1>();
      __syncwarp();
      attend_tile<Tile>(state, query, stages + i % kStages * Tile::kBytes,
                        item.end_key - tile_key(i), a.scale_log2);
      __syncwarp();  // every lane has read the stage before it is filled again
    }
    wait_copies<0>();
    __syncwarp();

    // Each warp leaves its sums [16][kMergeStride] and states [16] in its own stages.
    float* own_sums = reinterpret_cast<float*>(own);
    constexpr int kStatesAt = kHeadsPerItem * kMergeStride<kDim>;
    static_assert((kStatesAt + 2 * kHeadsPerItem) * 4 <= kWarpBytes<Tile, kStages>);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = state.total[half];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const int head = lane / 4 + half * 8;
      if (head >= item.heads) continue;
      if (lane % 4 == 0) {
        own_sums[kStatesAt + 2 * head] = state.top[half];
        own_sums[kStatesAt + 2 * head + 1] = total;
      }
      float* sums_of_head = own_sums + head * kMergeStride<kDim>;
      if constexpr (Tile::kHasCells) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
#pragma unroll
          for (int n = 0; n < kDim / 8; n += 4) {
            const int i = 2 * half + e;
            *reinterpret_cast<float4*>(sums_of_head + (lane % 4 * 2 + e) * (kDim / 8) + n) =
                make_float4(state.sums[n][i], state.sums[n + 1][i], state.sums[n + 2][i],
                            state.sums[n + 3][i]);
          }
        }
      } else {
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n) {
          *reinterpret_cast<float2*>(sums_of_head + n * 8 + lane % 4 * 2) =
              make_float2(state.sums[n][2 * half], state.sums[n][2 * half + 1]);
        }
      }
    }
    __syncthreads();
    const int64_t first_state =
        (static_cast<int64_t>(item.sequence) * a.max_splits + item.split) * p.q_heads + item.head;
    for (int i = threadIdx.x; i < item.heads * (kDim / 4); i += kThreads) {
      const int h = i / (kDim / 4);
      const int at = i % (kDim / 4) * 4;
      const float* warp_sums[kWarps];
      float top = -INFINITY;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        warp_sums[w] = reinterpret_cast<const float*>(shared + w * kWarpBytes<Tile, kStages>);
        top = fmaxf(top, warp_sums[w][kStatesAt + 2 * h]);
      }
      float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      float total = 0.0f;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float weight = weight_of(warp_sums[w][kStatesAt + 2 * h], top);
        const float4 x =
            *reinterpret_cast<const float4*>(warp_sums[w] + h * kMergeStride<kDim> + at);
        total += weight * warp_sums[w][kStatesAt + 2 * h + 1];
        sum.x += weight * x.x;
        sum.y += weight * x.y;
        sum.z += weight * x.z;
        sum.w += weight * x.w;
      }
      if (item.splits == 1) {
        const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
        __nv_bfloat16* row = static_cast<__nv_bfloat16*>(p.out) +
                             (static_cast<int64_t>(item.row) * p.q_heads + item.head + h) * kDim +
                             at;
        *reinterpret_cast<uint2*>(row) = make_uint2(pack_bf16(sum.x * inverse, sum.y * inverse),
                                                    pack_bf16(sum.z * inverse, sum.w * inverse));
      } else {
        *reinterpret_cast<float4*>(a.partial_sums + (first_state + h) * kDim + at) = sum;
        if (at == 0) a.partial_states[first_state + h] = make_float2(top, total);
      }
    }
    if (item.splits > 1) {
      // Writes, fence, barrier, count: who counts last sees what all others wrote (CUDA C++
      // Programming Guide, "Memory Fence Functions").
      __threadfence();
      __syncthreads();
      if (threadIdx.x == 0) {
        last_of_item =
            atomicAdd(a.arrived + item.counter, 1u) + 1 == static_cast<unsigned>(item.splits);
        if (last_of_item) a.arrived[item.counter] = 0;
      }
      __syncthreads();
      if (last_of_item) {
        __threadfence();
        combine_splits<kDim>(a, item, reinterpret_cast<float*>(shared));
      }
    }
    __syncthreads();  // the stages and the flag are free again
  }
  wait_for_previous_kernel();  // a block without items
}

template <class Tile, int kStages, int kBlocksPerMultiprocessor>
cudaError_t launch_shape(const DecodeArgs& args, cudaStream_t stream) {
  constexpr size_t kBytes = size_t{kWarps} * kWarpBytes<Tile, kStages>;
  const auto kernel = decode_kernel<Tile, kStages, kBlocksPerMultiprocessor>;
  const cudaError_t allowed = allow_shared_memory(kernel, kBytes);
  if (allowed != cudaSuccess) return allowed;
  const int64_t most_items = int64_t{args.p.num_seqs} * items_per_split(args.p) * args.max_splits;
  const int64_t resident = int64_t{multiprocessors()} * kBlocksPerMultiprocessor;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(std::min(most_items, resident))),
                          .block = dim3(kThreads),
                          .shared_bytes = kBytes,
                          .overlap_previous = true};
  return launch(kernel, shape, stream, args);
}

template <class Tile>
cudaError_t launch_tile(const DecodeArgs& args, cudaStream_t stream) {
  // Few items: one block a multiprocessor has more loads in flight. The bits are the same. A stage
  // of cells has half the bytes.
  if (args.p.num_seqs * items_per_split(args.p) <= 8) {
    return launch_shape < Tile, Tile::kHasCells ? 7 : 4, 1 > (args, stream);
  }
  return launch_shape < Tile, Tile::kHasCells ? 3 : 2, 3 > (args, stream);
}

template <int kDim>
cudaError_t launch_dim(const DecodeArgs& args, cudaStream_t stream) {
  switch (args.p.cache) {
    case CacheType::kPlain:
      return launch_tile<TileShape<kDim, CacheType::kPlain>>(args, stream);
    case CacheType::kInt8:
      return launch_tile<TileShape<kDim, CacheType::kInt8>>(args, stream);
    case CacheType::kE4m3:
      return launch_tile<TileShape<kDim, CacheType::kE4m3>>(args, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_decode(const PagedAttentionParams& p, cudaStream_t stream) {
  DecodeArgs args{};
  args.p = p;
  args.group = query_heads_per_kv_head(p);
  args.parts = items_per_split(p) / p.kv_heads;
  args.scale_log2 = static_cast<float>(std::sqrt(1.0 / p.head_dim) * 1.4426950408889634);
  args.max_splits = static_cast<int>(most_splits(int64_t{p.max_blocks} * p.block_size));
  const int64_t states = int64_t{p.num_seqs} * args.max_splits * p.q_heads;
  args.partial_sums = static_cast<float*>(behind_counters(p));
  args.partial_states = reinterpret_cast<float2*>(args.partial_sums + states * p.head_dim);
  args.arrived = static_cast<unsigned*>(p.workspace);
  return p.head_dim == 64 ? launch_dim<64>(args, stream) : launch_dim<128>(args, stream);
}

}  // namespace ernie::kernels::attention
