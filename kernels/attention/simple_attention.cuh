#pragma once

#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"

// Attention of one query row by one warp, for any type and head_dim: a lane holds the score of one
// of 32 keys, then every 32nd element of the result. All sums are float32 and run in the order of
// the keys and of the elements.
namespace ernie::kernels::attention {

constexpr int kMaxSimpleHeadDim = 256;

// Keys and values as they are, at places that count elements.
template <class T>
struct PlainElements {
  static constexpr int kWidth = kVectorElements<T>;
  const T* keys;
  const T* values;

  __device__ __forceinline__ void key(int64_t at, int i, float (&out)[kWidth]) const {
    to_floats(load16(keys + at + i), out);
  }
  __device__ __forceinline__ float value(int64_t at, int i) const {
    return to_float(values[at + i]);
  }
};

// `query` is room for head_dim floats in shared memory of this warp's own. Of key `key`,
// cache.key(offset(key), i, ..) gives kWidth elements from i on and cache.value(offset(key), i) an
// element of its value. No keys give zeros.
template <class T, class Cache, class Offset>
__device__ __forceinline__ void attend_simply(const T* q, float* query, int head_dim, int visible,
                                              float scale, const Cache& cache, Offset offset,
                                              T* out) {
  const int lane = threadIdx.x % 32;
  for (int i = lane; i < head_dim; i += 32) query[i] = to_float(q[i]);
  __syncwarp();
  float sums[kMaxSimpleHeadDim / 32] = {};
  float top = -INFINITY;
  float total = 0.0f;
  for (int base = 0; base < visible; base += 32) {
    const int count = min(32, visible - base);
    int64_t at = 0;
    float score = -INFINITY;
    if (lane < count) {
      at = offset(base + lane);
      float dot = 0.0f;
      for (int i = 0; i < head_dim; i += Cache::kWidth) {
        float k[Cache::kWidth];
        cache.key(at, i, k);
#pragma unroll
        for (int e = 0; e < Cache::kWidth; ++e) dot += query[i + e] * k[e];
      }
      score = dot * scale;
    }
    const float new_top = fmaxf(top, warp_max(score));
    const float rescale = expf(top - new_top);
    const float weight = expf(score - new_top);
    top = new_top;
    total = total * rescale + warp_sum(weight);
#pragma unroll
    for (int i = 0; i < kMaxSimpleHeadDim / 32; ++i) sums[i] *= rescale;
    for (int j = 0; j < count; ++j) {
      const float w = __shfl_sync(kAllLanes, weight, j);
      const int64_t value_at = __shfl_sync(kAllLanes, at, j);
#pragma unroll
      for (int i = 0; i < kMaxSimpleHeadDim / 32; ++i) {
        if (lane + 32 * i < head_dim) sums[i] += w * cache.value(value_at, lane + 32 * i);
      }
    }
  }
  const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
#pragma unroll
  for (int i = 0; i < kMaxSimpleHeadDim / 32; ++i) {
    if (lane + 32 * i < head_dim) out[lane + 32 * i] = from_float<T>(sums[i] * inverse);
  }
}

}  // namespace ernie::kernels::attention
