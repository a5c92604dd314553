#pragma once

#include <cuda_bf16.h>

#include "kernels/common/mma.cuh"

// How one warp multiplies 16 weight rows with few tokens when time is the reading of the weights.
// The weights are the 16-row operand of the matrix product and the tokens its 8 columns, so up to 8
// tokens cost what one does. The warp streams the weights through a ring in shared memory that no
// other lane reads.
//
// Inside 32 neighbours of k, lane q of a row's four holds 8 neighbours and feeds them to two matrix
// products, 4 to each; both operands are permuted alike.
namespace ernie::kernels::moe {

constexpr int kChunk = 32;  // of k

template <int kSlots>
struct Ring {
  uint4 slot[kSlots][2][32];  // weight rows g and g + 8 of the item
};

// sums[i] += weights[16 rows] * tokens[8 of tile i]^T. `low` and `high` are the lane's weight rows
// and `columns` its token row of each tile, all at element 8 * (lane % 4).
template <int kSlots, int kTiles>
__device__ __forceinline__ void stream_weights(Ring<kSlots>& ring, const __nv_bfloat16* low,
                                               const __nv_bfloat16* high,
                                               const __nv_bfloat16* const (&columns)[kTiles], int k,
                                               float (&sums)[kTiles][4]) {
  const int lane = threadIdx.x % 32;
  const int mine = k - 8 * (lane % 4);  // the lane's elements of chunk c exist if 32 c < mine
  const int chunks = (k + kChunk - 1) / kChunk;
  const uint32_t slots = shared_address(&ring.slot[0][0][lane]);
  const auto fetch = [&](int chunk) {
    const int at = chunk * kChunk;
    const bool valid = at < mine;
    const uint32_t slot = slots + static_cast<uint32_t>(chunk % kSlots) * sizeof(ring.slot[0]);
    if (chunk < chunks) {
      copy16_stream(slot, low + (valid ? at : 0), valid);
      copy16_stream(slot + sizeof(ring.slot[0][0]), high + (valid ? at : 0), valid);
    }
    commit_copies();
  };
  const auto load = [&](int chunk, uint4(&b)[kTiles]) {
    const int at = chunk * kChunk;
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      b[i] = at < mine ? *reinterpret_cast<const uint4*>(columns[i] + at) : uint4{};
    }
  };
#pragma unroll
  for (int c = 0; c < kSlots - 1; ++c) fetch(c);
  constexpr int kAhead = kTiles > 2 ? 1 : 4 / kTiles;  // chunks of tokens that are loaded together
  uint4 next[kAhead][kTiles];
#pragma unroll
  for (int u = 0; u < kAhead; ++u) load(u, next[u]);
  for (int begin = 0; begin < chunks; begin += kAhead) {
    uint4 b[kAhead][kTiles];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
#pragma unroll
      for (int i = 0; i < kTiles; ++i) b[u][i] = next[u][i];
      load(begin + kAhead + u, next[u]);
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int c = begin + u;
      if (c >= chunks) break;
      fetch(c + kSlots - 1);  // into the slot that the previous chunk's products have read
      wait_for_copies<kSlots - 1>();
      const uint4 a = ring.slot[c % kSlots][0][lane];
      const uint4 h = ring.slot[c % kSlots][1][lane];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        multiply_add(sums[i], a.x, h.x, a.y, h.y, b[u][i].x, b[u][i].y);
        multiply_add(sums[i], a.z, h.z, a.w, h.w, b[u][i].z, b[u][i].w);
      }
    }
  }
  wait_for_copies<0>();
}

}  // namespace ernie::kernels::moe
