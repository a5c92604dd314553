#pragma once

#include <cuda_bf16.h>

#include <type_traits>
#include <utility>

#include "kernels/common/hopper.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/quantized/quantized.cuh"

// Products of quantised weights with many rows of activations, called tokens here, on sm_90a.
//
// A tile is 256 weight rows by up to 128 tokens. Weights are the first operand of wgmma, M, and
// come from registers, where they are converted exactly; tokens are the second one, N, so a tile
// may have any multiple of 16 of them. One warpgroup fetches: weights, which lie together in their
// packed tiles, by bulk copies, tokens, which may lie apart, by cp.async. Two multiply, 128 weight
// rows each.
//
// The two do not work in step: the second starts some stages behind the first, so that one of them
// has products to do while the other writes its results. The ring of stages keeps them from
// drifting further apart than it is long.
//
// k is added up in order, so a token's bits do not depend on the tile it is in.
namespace ernie::kernels::quantized {

constexpr int kPartThreads = 128;  // a warpgroup
constexpr int kThreads = 3 * kPartThreads;
constexpr int kMaxTokens = 128;
constexpr int kTokenStep = 16;
constexpr int kTileBlocks = 4;  // of 64 weight rows, two for each multiplying warpgroup
constexpr int kTileRows = kTileBlocks * kQuantizedTile;
constexpr int kStep = kQuantizedTile;  // of k
constexpr uint32_t kTokenBytes = kStep * 2;
constexpr uint32_t kTokensBytes = kMaxTokens * kTokenBytes;
constexpr uint32_t kScaleSlot = 32;  // the scales of 16 rows and one group
constexpr uint32_t kScalesBytes = kTileRows / 16 * 2 * kScaleSlot;
constexpr int kMaxStages = 8;
constexpr uint32_t kMaxSharedBytes = 227 << 10;

// A way of multiplying, which is compiled by itself: a kind of format and a number of tokens. A
// block's tiles must come in rising order of variants: ptxas keeps products asynchronous in loops
// that follow each other, but not in loops among which a common one chooses.
constexpr int kTokenCounts = kMaxTokens / kTokenStep;
constexpr int kVariants = 4 * kTokenCounts;
constexpr __host__ __device__ int variant_of(const WeightFormat& format, int tokens) {
  return (format.group > 0 ? 0 : 2 * kTokenCounts) +
         (format.type == WeightType::kInt4 ? kTokenCounts : 0) + (kMaxTokens - tokens) / kTokenStep;
}
constexpr __host__ __device__ bool groups_of(int variant) { return variant < 2 * kTokenCounts; }
constexpr __host__ __device__ bool int4_of(int variant) { return variant / kTokenCounts % 2 == 1; }
constexpr __host__ __device__ int tokens_of(int variant) {
  return kMaxTokens - variant % kTokenCounts * kTokenStep;
}

constexpr __host__ __device__ int tiles_of(int tokens) {
  return (tokens + kMaxTokens - 1) / kMaxTokens;
}
// The height of equal tiles of all tokens, at least 1.
constexpr __host__ __device__ int even_height(int tokens) {
  const int tiles = tiles_of(tokens);
  return ((tokens + tiles - 1) / tiles + kTokenStep - 1) / kTokenStep * kTokenStep;
}

// What is multiplied with what, as both sides of a block see it.
struct Tile {
  const unsigned char* weights;  // packed, from the tile's first row on
  const __nv_bfloat16* scales;   // likewise
  WeightFormat format;
  int variant;
  int blocks;  // of 64 stored weight rows; some of the last may be padding
  int k;
  int tokens;
  void* out;  // the first token's first output
  int64_t out_stride;
  int outputs;  // that exist from there on
};

enum class Output : uint8_t {
  kFloat,
  kBF16,
  kSwiglu,  // bfloat16 of weights in kGateUp order
};

// Results on their way out: one part's outputs of some tokens, in rows that lie apart so that the
// accesses use all banks.
template <Output kOutput>
struct Staging {
  static constexpr int kOutputs = kOutput == Output::kSwiglu ? kTileRows / 4 : kTileRows / 2;
  static constexpr int kElementBytes = kOutput == Output::kFloat ? 4 : 2;
  static constexpr int kTokens = kOutput == Output::kSwiglu ? 32 : 16;
  static constexpr uint32_t kRowBytes = kOutputs * kElementBytes + 16;
  static constexpr uint32_t kBytes = kTokens * kRowBytes;
};

// The ring of stages; a stage holds tokens, then weights, then scales of groups.
struct Ring {
  int stages;
  uint32_t stage_bytes;
};

// For all formats that a launch may meet.
inline Ring ring_for(bool any_int8, bool any_groups, size_t other_bytes) {
  const uint32_t bytes =
      kTokensBytes + kTileRows * kStep / (any_int8 ? 1 : 2) + (any_groups ? kScalesBytes : 0);
  const auto fit = static_cast<int>((kMaxSharedBytes - other_bytes) / bytes);
  return {fit < kMaxStages ? fit : kMaxStages, bytes};
}

// Shared memory: the stages, then this.
template <Output kOutput>
struct alignas(16) Shared {
  unsigned char staging[2][2][Staging<kOutput>::kBytes];  // [part][turn]
  uint64_t full[kMaxStages];   // 128 fetching threads and one for the weights
  uint64_t empty[kMaxStages];  // the 8 multiplying warps
  uint64_t apart;              // the first part is so far ahead that the second may start
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kFetchRegisters = 72;
constexpr int kMultiplyRegisters = 216;  // 128 * 72 + 256 * 216 of 384 * 168

__device__ __forceinline__ int steps_of(const Tile& tile) { return (tile.k + kStep - 1) / kStep; }

// Calls visit(std::integral_constant) for all variants in order.
template <int... kVariant, class Visit>
__device__ __forceinline__ void for_each_of(std::integer_sequence<int, kVariant...>, Visit visit) {
  (visit(std::integral_constant<int, kVariant>()), ...);
}
template <class Visit>
__device__ __forceinline__ void for_variants(Visit visit) {
  for_each_of(std::make_integer_sequence<int, kVariants>(), visit);
}

// With one thread; a barrier of the block must follow.
template <Output kOutput>
__device__ __forceinline__ void init_barriers(Shared<kOutput>& shared, const Ring& ring) {
  for (int s = 0; s < ring.stages; ++s) {
    init_barrier(barrier_of(shared.full, s), kPartThreads + 1);
    init_barrier(barrier_of(shared.empty, s), 2 * kPartThreads / 32);
  }
  init_barrier(shared_address(&shared.apart), kPartThreads / 32);
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  publish_to_async_proxy();
}

// One stage's weights and scales, with the first warp.
__device__ __forceinline__ void fetch_weights(const Tile& tile, int step, const Ring& ring,
                                              uint32_t stage, uint32_t barrier) {
  const int lane = threadIdx.x;
  const uint32_t bytes = tile_bytes(tile.format.type);
  const int group = tile.format.group;
  const int groups = group > 0 ? (tile.k + group - 1) / group : 0;
  const int first = group > 0 ? step * kStep / group : 0;
  const int slots = group == 32 ? min(2, groups - first) : group > 0 ? 1 : 0;
  if (lane == 0) {
    arrive_and_expect(barrier, tile.blocks * (bytes + 4 * slots * kScaleSlot));
  }
  __syncwarp();
  if (lane < tile.blocks) {
    copy_bulk(stage + kTokensBytes + lane * bytes,
              tile.weights + (int64_t{lane} * steps_of(tile) + step) * bytes, bytes, barrier);
  }
  if (slots > 0 && lane < 4 * tile.blocks) {
    copy_bulk(stage + ring.stage_bytes - kScalesBytes + lane * 2 * kScaleSlot,
              tile.scales + (int64_t{lane} * groups + first) * 16, slots * kScaleSlot, barrier);
  }
}

// With the first warpgroup. work.items() and work.tile(item, its first token) say what there is to
// do, work.token(i) where token i's row begins.
template <Output kOutput, class Work>
__device__ __forceinline__ void fetch_tiles(const Work& work, Shared<kOutput>& shared,
                                            const Ring& ring, uint32_t stages) {
  constexpr int kRowsApart = kPartThreads / 8;
  constexpr int kLoads = kMaxTokens / kRowsApart;
  const int chunk = threadIdx.x % 8;
  const int load_row = threadIdx.x / 8;
  const uint32_t to = load_row * kTokenBytes + (chunk ^ (load_row % 8)) * 16;
  const int items = work.items();
  RingPosition position;
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    int first_token = 0;
    const Tile tile = work.tile(item, first_token);
    const __nv_bfloat16* row[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int at = load_row + i * kRowsApart;
      row[i] = work.token(first_token + (at < tile.tokens ? at : 0)) + chunk * 8;
    }
    const int steps = steps_of(tile);
    for (int step = 0; step < steps; ++step) {
      const uint32_t stage = stages + position.stage * ring.stage_bytes;
      const uint32_t full = barrier_of(shared.full, position.stage);
      wait_for_phase(barrier_of(shared.empty, position.stage), position.parity ^ 1);
      if (threadIdx.x < 32) fetch_weights(tile, step, ring, stage, full);
      const bool in_k = step * kStep + chunk * 8 < tile.k;
      const int column = in_k ? step * kStep : 0;
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        // Tokens up to the next 16 hold another one's row, those behind what was there before:
        // nobody reads their sums.
        if (i * kRowsApart < tile.tokens) {
          copy16_async(stage + to + i * kRowsApart * kTokenBytes, row[i] + column, in_k);
        }
      }
      arrive_after_copies(full);
      position.advance(ring.stages);
    }
  }
}

__device__ __forceinline__ void store_shared4(uint32_t address, float x) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(x) : "memory");
}
__device__ __forceinline__ __nv_bfloat162 as_pair(uint32_t x) {
  return *reinterpret_cast<const __nv_bfloat162*>(&x);
}
__device__ __forceinline__ uint32_t as_bits(__nv_bfloat162 x) {
  return *reinterpret_cast<const uint32_t*>(&x);
}

// (x & kMask) | kBits
template <uint32_t kMask, uint32_t kBits>
__device__ __forceinline__ __nv_bfloat162 select_pair(uint32_t x) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(x), "n"(kMask), "n"(kBits));
  return as_pair(result);
}

// The operand registers of one k16 step: 0x4300 is 128, and the low seven bits count ones.
__device__ __forceinline__ void convert_int4(uint32_t word, uint32_t (&a)[4]) {
  const __nv_bfloat162 bias = as_pair(0x43084308);  // 128 + 8
#pragma unroll
  for (int p = 0; p < 4; ++p) {
    a[p] = as_bits(__hsub2(select_pair<0x000f000f, 0x43004300>(word >> (4 * p)), bias));
  }
}
__device__ __forceinline__ uint32_t convert_int8_pair(uint32_t bytes) {
  return as_bits(__hsub2(select_pair<0x007f007f, 0x43004300>(bytes),
                         select_pair<0x00800080, 0x43004300>(bytes)));
}
__device__ __forceinline__ void convert_int8(uint32_t low, uint32_t high, uint32_t (&a)[4]) {
  a[0] = convert_int8_pair(low);
  a[1] = convert_int8_pair(low >> 8);
  a[2] = convert_int8_pair(high);
  a[3] = convert_int8_pair(high >> 8);
}

// One multiplying warpgroup.
template <Output kOutput>
class Multiplier {
 public:
  __device__ __forceinline__ Multiplier(Shared<kOutput>& shared, const Ring& ring, uint32_t stages)
      : shared_(shared),
        ring_(ring),
        stages_(stages),
        part_(static_cast<int>(threadIdx.x) / kPartThreads - 1),
        warp_(static_cast<int>(threadIdx.x) % kPartThreads / 32),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  template <class Work>
  __device__ __forceinline__ void run(const Work& work) {
    const int items = work.items();
    int item = static_cast<int>(blockIdx.x);
    if (item >= items) return;
    int first_token = 0;
    Tile tile = work.tile(item, first_token);
    // Both parts come here with the first tile, whose first part always has rows. As long as the
    // second waits, no stage is given back.
    if (part_ == 0) apart_step_ = min(ring_.stages / 2 - 1, steps_of(tile) - 1);
    if (part_ == 1) wait_for_phase(shared_address(&shared_.apart), 0);
    for_variants([&](auto variant) {
      constexpr int kVariant = decltype(variant)::value;
      while (item < items && tile.variant == kVariant) {
        multiply<kVariant>(tile);
        apart_step_ = -1;
        item += static_cast<int>(gridDim.x);
        if (item < items) tile = work.tile(item, first_token);
      }
    });
  }

 private:
  __device__ __forceinline__ void skip(int steps) {
    for (int step = 0; step < steps; ++step) {
      wait_for_phase(barrier_of(shared_.full, position_.stage), position_.parity);
      // A lane that still looked after the stage was given back could miss its phase: the next one
      // of the same parity looks alike. (Where there are products, they keep lanes together.)
      __syncwarp();
      if (lane_ == 0) arrive(barrier_of(shared_.empty, position_.stage));
      position_.advance(ring_.stages);
    }
  }

  template <int kVariant>
  __device__ __forceinline__ void multiply(const Tile& tile) {
    if (2 * part_ < tile.blocks) {
      multiply<groups_of(kVariant), int4_of(kVariant), tokens_of(kVariant)>(tile);
    } else {
      skip(steps_of(tile));
    }
  }

  // Packed weights that were loaded and not yet converted: of int4, a lane's 16 bytes are all of a
  // step of both blocks, of int8 half a step of one.
  template <bool kInt4>
  struct Packed {
    uint32_t words[kInt4 ? 2 : 1][4];
  };

  // Converts half a step, 32 of k, of one of the part's two blocks.
  template <bool kGroups, bool kInt4, int kBlock, int kHalf>
  __device__ __forceinline__ void convert(const Tile& tile, int step, uint32_t stage,
                                          Packed<kInt4>& packed, uint32_t (&a)[2][4]) {
    constexpr uint32_t kWarpBytes = 16 * kStep / (kInt4 ? 2 : 1);
    const uint32_t from =
        stage + kTokensBytes + (8 * part_ + warp_) * kWarpBytes + static_cast<uint32_t>(lane_) * 16;
    const auto load = [&](int into, uint32_t offset) {
      const uint4 x = load_shared16(from + offset);
      packed.words[into][0] = x.x;
      packed.words[into][1] = x.y;
      packed.words[into][2] = x.z;
      packed.words[into][3] = x.w;
    };
    if constexpr (kInt4) {
      if constexpr (kBlock == 0 && kHalf == 0) {
        load(0, 0);
        load(1, 4 * kWarpBytes);
      }
      pin(packed.words[kBlock]);
      convert_int4(packed.words[kBlock][2 * kHalf], a[0]);
      convert_int4(packed.words[kBlock][2 * kHalf + 1], a[1]);
    } else {
      load(0, kBlock * 4 * kWarpBytes + kHalf * (kWarpBytes / 2));
      convert_int8(packed.words[0][0], packed.words[0][1], a[0]);
      convert_int8(packed.words[0][2], packed.words[0][3], a[1]);
    }
    if constexpr (kGroups) {
      const int group = tile.format.group;
      // A step's second group may lie behind the last one, where weights are padding.
      const bool second = kHalf == 1 && group == 32 && (2 * step + 1) * 32 < tile.k;
      const uint32_t scales = stage + ring_.stage_bytes - kScalesBytes +
                              ((2 * part_ + kBlock) * 4 + warp_) * 2 * kScaleSlot +
                              (second ? kScaleSlot : 0) + lane_ / 4 * 2;
      uint16_t low, high;
      asm volatile("ld.shared.u16 %0, [%1];" : "=h"(low) : "r"(scales));
      asm volatile("ld.shared.u16 %0, [%1];" : "=h"(high) : "r"(scales + 16));
      const __nv_bfloat162 of_row[2] = {as_pair(low * 0x10001u), as_pair(high * 0x10001u)};
#pragma unroll
      for (int s = 0; s < 2; ++s) {
#pragma unroll
        for (int p = 0; p < 4; ++p) a[s][p] = as_bits(__hmul2(as_pair(a[s][p]), of_row[p % 2]));
      }
    }
  }

  // The k loop: while products of a converted half step run, the next ones are converted. The four
  // half steps of a stage have registers of their own.
  template <bool kGroups, bool kInt4, int kTokens>
  __device__ __forceinline__ void multiply(const Tile& tile) {
    const int steps = steps_of(tile);
    float scales[2][2];
    if constexpr (!kGroups) load_scales(tile, scales);
    float sums[2][kTokens / 2];
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) sums[0][i] = sums[1][i] = 0;
    uint32_t a[2][2][2][4];  // [block][half][k16 step]
    Packed<kInt4> packed;
    uint32_t stage = 0;
    uint32_t previous = 0;
    const auto issue = [&](float(&d)[kTokens / 2], uint32_t(&operand)[2][4], int half) {
      const uint64_t tokens = matrix_descriptor(stage) + 4 * half;
      pin(operand[0]);
      pin(operand[1]);
      pin(d);
      begin_products();
      multiply_64xNx16(d, operand[0], tokens);
      multiply_64xNx16(d, operand[1], tokens + 2);
      commit_products();
      pin(d);
      wait_for_products<3>();  // the registers that are written next have been read
    };
    const auto begin_stage = [&] {
      wait_for_phase(barrier_of(shared_.full, position_.stage), position_.parity);
      publish_to_async_proxy();  // what others' cp.async wrote, to the products of this thread
      stage = stages_ + position_.stage * ring_.stage_bytes;
    };
    begin_stage();
    convert<kGroups, kInt4, 0, 0>(tile, 0, stage, packed, a[0][0]);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      issue(sums[0], a[0][0], 0);
      convert<kGroups, kInt4, 1, 0>(tile, step, stage, packed, a[1][0]);
      issue(sums[1], a[1][0], 0);
      convert<kGroups, kInt4, 0, 1>(tile, step, stage, packed, a[0][1]);
      issue(sums[0], a[0][1], 1);  // has waited for the last half step of the stage before
      if (step > 0 && lane_ == 0) arrive(barrier_of(shared_.empty, previous));
      if (step == apart_step_ && lane_ == 0) arrive(shared_address(&shared_.apart));
      convert<kGroups, kInt4, 1, 1>(tile, step, stage, packed, a[1][1]);
      issue(sums[1], a[1][1], 1);
      previous = position_.stage;
      position_.advance(ring_.stages);
      if (step + 1 < steps) {
        begin_stage();
        convert<kGroups, kInt4, 0, 0>(tile, step + 1, stage, packed, a[0][0]);
      }
    }
    wait_for_products<0>();
    pin(sums[0]);
    pin(sums[1]);
    if (lane_ == 0) arrive(barrier_of(shared_.empty, previous));
    if constexpr (!kGroups) {
#pragma unroll
      for (int b = 0; b < 2; ++b) {
#pragma unroll
        for (int i = 0; i < kTokens / 2; ++i) sums[b][i] *= scales[b][i / 2 % 2];
      }
    }
    write_sums<kTokens>(tile, sums);
  }

  // Of the thread's rows, [block][row g or g + 8].
  __device__ __forceinline__ void load_scales(const Tile& tile, float (&scales)[2][2]) const {
#pragma unroll
    for (int b = 0; b < 2; ++b) {
      const int block = 2 * part_ + b;
      const __nv_bfloat16* from =
          tile.scales + (block < tile.blocks ? block : 0) * kQuantizedTile + 16 * warp_ + lane_ / 4;
      scales[b][0] = __bfloat162float(from[0]);
      scales[b][1] = __bfloat162float(from[8]);
    }
  }

  template <int kTokens>
  __device__ __forceinline__ void write_sums(const Tile& tile,
                                             const float (&sums)[2][kTokens / 2]) {
    using Rows = Staging<kOutput>;
    const int first_output = part_ * Rows::kOutputs;
    const int outputs = min(Rows::kOutputs, tile.outputs - first_output);
#pragma unroll
    for (int first = 0; first < kTokens; first += Rows::kTokens) {
      // Two turns apart, a barrier of all lies between the reads and the next writes.
      const uint32_t rows = shared_address(shared_.staging[part_][turn_]);
      turn_ ^= 1;
#pragma unroll
      for (int token = 0; token < Rows::kTokens && first + token < kTokens; token += 16) {
        stage_tokens(rows + token * Rows::kRowBytes, sums[0], sums[1], first + token);
      }
      sync_threads<kPartThreads>(1 + part_);
      constexpr int kPieces = Rows::kOutputs * Rows::kElementBytes / 16;
      constexpr int kRowsAtOnce = kPartThreads / kPieces;
      const int thread = static_cast<int>(threadIdx.x) % kPartThreads;
      const int piece = thread % kPieces;
#pragma unroll
      for (int i = 0; i < Rows::kTokens / kRowsAtOnce; ++i) {
        const int row = thread / kPieces + i * kRowsAtOnce;
        if (first + row < tile.tokens && piece * 16 < outputs * Rows::kElementBytes) {
          auto* to = static_cast<char*>(tile.out) +
                     ((first + row) * tile.out_stride + first_output) * Rows::kElementBytes;
          *reinterpret_cast<uint4*>(to + piece * 16) =
              load_shared16(rows + row * Rows::kRowBytes + piece * 16);
        }
      }
    }
  }

  // Writes the results of 16 tokens, from `token` on, to their rows of the staging memory.
  template <int kCount>
  __device__ __forceinline__ void stage_tokens(uint32_t rows, const float (&first)[kCount],
                                               const float (&second)[kCount], int token) const {
    using Rows = Staging<kOutput>;
    const int at = token / 2;  // the 16 tokens' sums are at [at, at + 8)
    if constexpr (kOutput == Output::kFloat) {
      const uint32_t to =
          rows + lane_ % 4 * 2 * Rows::kRowBytes + (16 * warp_ + lane_ / 4) * sizeof(float);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const uint32_t offset =
            (i / 4 * 8 + i % 2) * Rows::kRowBytes + i / 2 % 2 * 8 * sizeof(float);
        store_shared4(to + offset, first[at + i]);
        store_shared4(to + offset + kQuantizedTile * sizeof(float), second[at + i]);
      }
    } else if constexpr (kOutput == Output::kBF16) {
      // Matrices: 8 tokens with rows g, the same with rows g + 8, the next 8 tokens likewise.
      const uint32_t to = rows + (lane_ / 16 * 8 + lane_ % 8) * Rows::kRowBytes +
                          (16 * warp_ + lane_ / 8 % 2 * 8) * 2;
      const auto store = [&](uint32_t address, const float(&sums)[kCount]) {
        const uint32_t packed[4] = {
            pack_bf16(sums[at], sums[at + 1]), pack_bf16(sums[at + 2], sums[at + 3]),
            pack_bf16(sums[at + 4], sums[at + 5]), pack_bf16(sums[at + 6], sums[at + 7])};
        store_matrices_transposed(address, packed);
      };
      store(to, first);
      store(to + kQuantizedTile * 2, second);
    } else {
      // Matrices: 8 tokens of both blocks, the next 8 tokens likewise.
      const uint32_t to = rows + (lane_ / 16 * 8 + lane_ % 8) * Rows::kRowBytes +
                          (lane_ / 8 % 2 * (kQuantizedTile / 2) + 8 * warp_) * 2;
      const auto activated = [&](const float(&sums)[kCount], int i) {
        return pack_bf16(swiglu(sums[i], sums[i + 2]), swiglu(sums[i + 1], sums[i + 3]));
      };
      const uint32_t packed[4] = {activated(first, at), activated(second, at),
                                  activated(first, at + 4), activated(second, at + 4)};
      store_matrices_transposed(to, packed);
    }
  }

  Shared<kOutput>& shared_;
  const Ring& ring_;
  const uint32_t stages_;
  const int part_;
  const int warp_;
  const int lane_;
  RingPosition position_;
  int apart_step_ = -1;
  uint32_t turn_ = 0;  // which half of the part's staging memory is written next
};

// All of a block's work but what comes before its first barrier.
template <Output kOutput, class Work>
__device__ __forceinline__ void run_tiles(const Work& work, Shared<kOutput>& shared,
                                          const Ring& ring, uint32_t stages) {
  if (threadIdx.x < kPartThreads) {
    give_up_registers<kFetchRegisters>();
    fetch_tiles<kOutput>(work, shared, ring, stages);
  } else {
    take_registers<kMultiplyRegisters>();
    Multiplier<kOutput>(shared, ring, stages).run(work);
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

}  // namespace ernie::kernels::quantized
