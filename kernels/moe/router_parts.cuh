#pragma once

#include <cuda_bf16.h>

#include <type_traits>

#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/mma.cuh"
#include "kernels/moe/router.h"

// What the kernels that route share: the product with the router's weights and the choice of the
// experts. Slice s of kSlices of the hidden width is chunks [s * chunks / kSlices, (s + 1) * chunks
// / kSlices); a logit is the sum of its slices in order.
namespace ernie::kernels::router {

constexpr int kSlices = 16;
constexpr int kChunk = 32;  // of hidden: two matrix products; a lane holds 8 neighbours of each row
constexpr int kLaneExperts = kMaxRouterExperts / 32;

// Values as sums of bfloat16 parts, packed in pairs: part i of 8 neighbours is v[i][0..3].
template <int kParts>
struct Parts {
  uint32_t v[kParts][4];
};

// x as the sum of three bfloat16: each part takes the next 8 bits of the mantissa, so nothing is
// lost (but for parts below the smallest normal number).
__device__ __forceinline__ void split(const float* x, Parts<3>& out) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float low = x[2 * i];
    float high = x[2 * i + 1];
#pragma unroll
    for (int part = 0; part < 3; ++part) {
      const uint32_t packed = pack_bf16(low, high);
      out.v[part][i] = packed;
      low -= __uint_as_float(packed << 16);
      high -= __uint_as_float(packed & 0xffff0000u);
    }
  }
}

// 8 neighbours, not split yet.
struct Raw {
  float4 v[2];
};
__device__ __forceinline__ Raw load_raw(const float* p, bool valid) {
  if (!valid) return {};
  return {{*reinterpret_cast<const float4*>(p), *reinterpret_cast<const float4*>(p + 4)}};
}
__device__ __forceinline__ Parts<3> split(const Raw& raw) {
  const float x[8] = {raw.v[0].x, raw.v[0].y, raw.v[0].z, raw.v[0].w,
                      raw.v[1].x, raw.v[1].y, raw.v[1].z, raw.v[1].w};
  Parts<3> out;
  split(x, out);
  return out;
}
__device__ __forceinline__ Parts<3> load_parts(const float* p, bool valid) {
  return split(load_raw(p, valid));
}
__device__ __forceinline__ Parts<1> load_parts(const __nv_bfloat16* p, bool valid) {
  uint4 x{};
  if (valid) x = *reinterpret_cast<const uint4*>(p);
  return {{{x.x, x.y, x.z, x.w}}};
}

template <class T>
constexpr int kActivationParts = std::is_same_v<T, float> ? 3 : 1;

// Scores in the order of unsigned integers; 0 stands for "not there".
__device__ __forceinline__ uint32_t sortable(float x) {
  const uint32_t bits = __float_as_uint(x);
  return max(1u, bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

// The correction biases of experts lane + 32 i, of both modalities.
struct Biases {
  float v[2][kLaneExperts];
};

__device__ __forceinline__ Biases load_biases(const MoeRouterParams& p) {
  Biases biases{};
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int i = 0; i < kLaneExperts; ++i) {
      const int e = static_cast<int>(threadIdx.x) % 32 + 32 * i;
      if (p.bias[m] != nullptr && e < p.experts[m]) biases.v[m][i] = p.bias[m][e];
    }
  }
  return biases;
}

// One warp chooses the experts of one token; logit(expert) reads a logit.
template <class T, class Logit>
__device__ void choose_experts(const MoeRouterParams& p, const Biases& biases, int token,
                               int modality, Logit logit) {
  const int lane = threadIdx.x % 32;
  const int experts = p.experts[modality];
  float probability[kLaneExperts];
  float top = -INFINITY;
#pragma unroll
  for (int i = 0; i < kLaneExperts; ++i) {
    const int e = lane + 32 * i;
    probability[i] = e < experts ? logit(e) : -INFINITY;
    top = fmaxf(top, probability[i]);
  }
  top = warp_max(top);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kLaneExperts; ++i) {
    probability[i] = lane + 32 * i < experts ? expf(probability[i] - top) : 0.0f;
    sum += probability[i];
  }
  sum = warp_sum(sum);
  uint32_t key[kLaneExperts];
#pragma unroll
  for (int i = 0; i < kLaneExperts; ++i) {
    const int e = lane + 32 * i;
    probability[i] /= sum;
    key[i] = e < experts
                 ? sortable(probability[i] + (modality == 0 ? biases.v[0][i] : biases.v[1][i]))
                 : 0;
  }

  float chosen_sum = 0;
  float my_probability = 0;
  int my_expert = 0;
  for (int k = 0; k < p.top_k; ++k) {
    uint32_t best = 0;
#pragma unroll
    for (int i = 0; i < kLaneExperts; ++i) best = max(best, key[i]);
    best = __reduce_max_sync(kAllLanes, best);
    unsigned candidate = ~0u;
#pragma unroll
    for (int i = kLaneExperts - 1; i >= 0; --i) {
      if (key[i] == best) candidate = static_cast<unsigned>(lane + 32 * i);
    }
    const int expert = static_cast<int>(__reduce_min_sync(kAllLanes, candidate));
    float mine = 0;
#pragma unroll
    for (int i = 0; i < kLaneExperts; ++i) {
      if (lane + 32 * i != expert) continue;
      mine = probability[i];
      key[i] = 0;
    }
    const float chosen = __shfl_sync(kAllLanes, mine, expert % 32);
    chosen_sum += chosen;
    if (lane == k) {
      my_probability = chosen;
      my_expert = expert;
    }
  }
  if (lane < p.top_k) {
    const size_t at = static_cast<size_t>(token) * p.top_k + lane;
    p.expert_ids[at] = my_expert + (modality == 1 ? p.experts[0] : 0);
    p.expert_weights[at] = to_float(from_float<T>(my_probability / fmaxf(chosen_sum, p.norm_min)));
  }
}

// sums += a chunk of x [16 * kTokenTiles, kChunk] * W [8 * kExpertTiles, kChunk]^T; weights_of(e)
// gives tile e of the latter.
template <class T, int kTokenTiles, int kExpertTiles, class WeightsOf>
__device__ __forceinline__ void multiply_chunk(
    float (&sums)[kTokenTiles][kExpertTiles][4],
    const Parts<kActivationParts<T>> (&a)[kTokenTiles][2], WeightsOf weights_of) {
#pragma unroll
  for (int e = 0; e < kExpertTiles; ++e) {
    const Parts<3> b = weights_of(e);
#pragma unroll
    for (int step = 0; step < 4; step += 2) {
#pragma unroll
      for (int i = kActivationParts<T> - 1; i >= 0; --i) {
#pragma unroll
        for (int j = 2; j >= 0; --j) {
#pragma unroll
          for (int t = 0; t < kTokenTiles; ++t) {
            multiply_add(sums[t][e], a[t][0].v[i][step], a[t][1].v[i][step], a[t][0].v[i][step + 1],
                         a[t][1].v[i][step + 1], b.v[j][step], b.v[j][step + 1]);
          }
        }
      }
    }
  }
}

}  // namespace ernie::kernels::router
