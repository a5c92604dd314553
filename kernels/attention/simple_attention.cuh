#pragma once

#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"

// Attention of one query row by one warp, for any type and head_dim: a lane holds the score of one
// of 32 keys, then every 32nd element of the result. All sums are float32 and run in the order of
// the keys and of the elements.
namespace ernie::kernels::attention {

constexpr int kMaxSimpleHeadDim = 256;

// `query` is room for head_dim floats in shared memory of this warp's own. offset(key) is the
// place of key `key` behind `keys` and `values`, in elements. No keys give zeros.
template <class T, class Offset>
__device__ __forceinline__ void attend_simply(const T* q, float* query, int head_dim, int visible,
                                              float scale, const T* keys, const T* values,
                                              Offset offset, T* out) {
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
      for (int i = 0; i < head_dim; i += kVectorElements<T>) {
        float k[kVectorElements<T>];
        to_floats(load16(keys + at + i), k);
#pragma unroll
        for (int e = 0; e < kVectorElements<T>; ++e) dot += query[i + e] * k[e];
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
      const T* value = values + __shfl_sync(kAllLanes, at, j);
#pragma unroll
      for (int i = 0; i < kMaxSimpleHeadDim / 32; ++i) {
        if (lane + 32 * i < head_dim) sums[i] += w * to_float(value[lane + 32 * i]);
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
