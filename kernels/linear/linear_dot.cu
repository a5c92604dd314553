#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/elementwise/activation.cuh"
#include "kernels/linear/linear.h"
#include "kernels/quantized/quantized.cuh"

namespace ernie::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kRowsPerWarp = 4;
constexpr int kUnroll = 4;  // vectors of W in flight for each lane

// The sums of one output and the lanes of a warp, added up and written.
template <class T>
__device__ __forceinline__ void finish(const LinearParams& p, int64_t output, int64_t first_row,
                                       float (&sum)[kRowsPerWarp]) {
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) sum[r] = warp_sum(sum[r]);
  if (threadIdx.x % 32 != 0) return;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    if (first_row + r >= p.rows) break;
    float y = sum[r];
    if (p.bias != nullptr) y += to_float(static_cast<const T*>(p.bias)[output]);
    y = activate(p.activation, y);
    const int64_t at = (first_row + r) * p.out_features + output;
    if (p.out_type == ElementType::kF32) {
      static_cast<float*>(p.out)[at] = y;
    } else {
      static_cast<__nv_bfloat16*>(p.out)[at] = from_float<__nv_bfloat16>(y);
    }
  }
}

// One warp computes one output of kRowsPerWarp rows. Each lane adds up every 32nd vector in order;
// then the lanes are added as a tree.
template <class T, int N>
__global__ __launch_bounds__(kWarps * 32) void dot_kernel(LinearParams p) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % 32;
  const int64_t output = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (output >= p.out_features) return;
  const int64_t k = p.in_features;
  const int64_t first_row = int64_t{blockIdx.y} * kRowsPerWarp;
  const T* weight = static_cast<const T*>(p.weight) + output * k;
  const T* x = static_cast<const T*>(p.x) + first_row * k;
  const int rows = static_cast<int>(min(int64_t{kRowsPerWarp}, p.rows - first_row));

  float sum[kRowsPerWarp] = {};
  for (int64_t begin = lane * N; begin < k; begin += 32 * N * kUnroll) {
    Vector<T, N> w[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = begin + u * 32 * N;
      if (at < k) w[u] = load_vector<T, N>(weight + at);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t at = begin + u * 32 * N;
      if (at >= k) break;
      float wide[N];
      to_floats(w[u], wide);
#pragma unroll
      for (int r = 0; r < kRowsPerWarp; ++r) {
        if (r >= rows) break;
        float values[N];
        to_floats(load_vector<T, N>(x + r * k + at), values);
#pragma unroll
        for (int i = 0; i < N; ++i) sum[r] = fmaf(wide[i], values[i], sum[r]);
      }
    }
  }
  finish<T>(p, output, first_row, sum);
}

// The same of quantised weights: four lanes share a step of 16 of k, the lanes of a warp take eight
// steps together.
template <class T>
__global__ __launch_bounds__(kWarps * 32) void quantized_dot_kernel(LinearParams p) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int lane = threadIdx.x % 32;
  const int64_t output = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (output >= p.out_features) return;
  const int64_t k = p.in_features;
  const int64_t first_row = int64_t{blockIdx.y} * kRowsPerWarp;
  const QuantizedRow weight(p.format, p.weight, p.scales, output, k);
  const T* x = static_cast<const T*>(p.x) + first_row * k;
  float sum[kRowsPerWarp] = {};
  for (int64_t step = lane / 4; step * 16 < k; step += 8) {
    float w[4];
    weight.load(step, lane % 4, w);
    const float scale = weight.scale(step);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t at = step * 16 + k_in_step(lane % 4, i);
      if (at >= k) continue;
#pragma unroll
      for (int r = 0; r < kRowsPerWarp; ++r) {
        if (first_row + r < p.rows) sum[r] = fmaf(w[i] * scale, to_float(x[r * k + at]), sum[r]);
      }
    }
  }
  finish<T>(p, output, first_row, sum);
}

template <class T>
cudaError_t launch_dot(const LinearParams& p, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(ceil_div(p.out_features, kWarps)),
                                       static_cast<unsigned>(ceil_div(p.rows, kRowsPerWarp))),
                          .block = dim3(kWarps * 32),
                          .overlap_previous = true};
  if (p.format.type != WeightType::kNative) {
    return launch(quantized_dot_kernel<T>, shape, stream, p);
  }
  constexpr int kWide = kVectorElements<T>;
  const bool aligned = p.in_features % kWide == 0 && is_aligned16(p.x) && is_aligned16(p.weight);
  return aligned ? launch(dot_kernel<T, kWide>, shape, stream, p)
                 : launch(dot_kernel<T, 1>, shape, stream, p);
}

}  // namespace

cudaError_t launch_linear_dot(const LinearParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  const bool types = p.type == ElementType::kBF16 || p.out_type == ElementType::kF32;
  if (p.rows < 0 || p.rows > int64_t{kRowsPerWarp} * 65535 || !types) return cudaErrorInvalidValue;
  return p.type == ElementType::kF32 ? launch_dot<float>(p, stream)
                                     : launch_dot<__nv_bfloat16>(p, stream);
}

}  // namespace ernie::kernels
