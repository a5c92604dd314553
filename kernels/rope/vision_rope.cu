#include <cmath>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/rope/vision_rope.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kPatchesPerBlock = 4;
constexpr int kMaxHeadDim = 256;

// By value, so that the host's float64 power gives the frequencies the CPU has.
struct Frequencies {
  float f[kMaxHeadDim / 4];
};

// kWidth divides head_dim / 2, so a vector lies in one half of a head.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    vision_rope_kernel(VisionRopeParams p, const __grid_constant__ Frequencies frequencies) {
  __shared__ float2 turn[kPatchesPerBlock][kMaxHeadDim / 2];  // cosine, sine
  const int half = p.head_dim / 2;
  const int quarter = p.head_dim / 4;
  const int first = blockIdx.x * kPatchesPerBlock;
  const int count = min(kPatchesPerBlock, p.patches - first);
  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int i = threadIdx.x; i < count * half; i += kThreads) {
    const int patch = i / half;
    const int j = i % half;
    const float position =
        static_cast<float>(p.positions[(first + patch) * 2 + (j < quarter ? 0 : 1)]);
    float sine, cosine;
    sincosf(__fmul_rn(position, frequencies.f[j % quarter]), &sine, &cosine);
    turn[patch][j] = make_float2(cosine, sine);
  }
  __syncthreads();

  const int vectors_per_half = half / kWidth;
  const int vectors_per_patch = 2 * p.heads * vectors_per_half;
  for (int i = threadIdx.x; i < count * vectors_per_patch; i += kThreads) {
    const int patch = i / vectors_per_patch;
    const int head = i % vectors_per_patch / vectors_per_half;
    const int j = i % vectors_per_half * kWidth;
    T* x = static_cast<T*>(p.qkv) +
           (static_cast<int64_t>(first + patch) * 3 * p.heads + head) * p.head_dim + j;
    float a[kWidth], b[kWidth];
    to_floats(load_vector<T, kWidth>(x), a);
    to_floats(load_vector<T, kWidth>(x + half), b);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float2 t = turn[patch][j + e];
      const float before = a[e];
      a[e] = before * t.x - b[e] * t.y;
      b[e] = b[e] * t.x + before * t.y;
    }
    store_vector(x, from_floats<T>(a));
    store_vector(x + half, from_floats<T>(b));
  }
}

template <class T>
cudaError_t launch_typed(const VisionRopeParams& p, const LaunchShape& shape,
                         const Frequencies& frequencies, cudaStream_t stream) {
  const int half = p.head_dim / 2;
  if (half % kVectorElements<T> == 0) {
    return launch(vision_rope_kernel<T, kVectorElements<T>>, shape, stream, p, frequencies);
  }
  return launch(vision_rope_kernel<T, 2>, shape, stream, p, frequencies);
}

}  // namespace

cudaError_t launch_vision_rope(const VisionRopeParams& p, cudaStream_t stream) {
  if (p.patches < 0 || p.heads < 1 || p.head_dim < 4 || p.head_dim % 4 != 0 ||
      p.head_dim > kMaxHeadDim || !is_aligned16(p.qkv)) {
    return cudaErrorInvalidValue;
  }
  Frequencies frequencies{};
  for (int i = 0; i < p.head_dim / 4; ++i) {
    const double exponent = -2.0 * i / (p.head_dim / 2.0);
    frequencies.f[i] = static_cast<float>(std::pow(static_cast<double>(p.theta), exponent));
  }
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(ceil_div(p.patches, kPatchesPerBlock))),
      .block = dim3(kThreads),
      .overlap_previous = true};
  return p.type == ElementType::kF32 ? launch_typed<float>(p, shape, frequencies, stream)
                                     : launch_typed<__nv_bfloat16>(p, shape, frequencies, stream);
}

}  // namespace ernie::kernels
