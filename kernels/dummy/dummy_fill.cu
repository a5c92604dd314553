#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/dummy/dummy_fill.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMaxGridRows = 65535;

__device__ __forceinline__ uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// The intrinsics keep the compiler from joining product and sum, which would round once only.
__device__ __forceinline__ float value(const DummyFillParams& p, int64_t number) {
  const auto n = static_cast<uint64_t>(number);
  const uint64_t word = mix(p.key + (n >> 1) * 0x9e3779b97f4a7c15ull);
  const auto half = static_cast<uint32_t>((n & 1) != 0 ? word >> 32 : word);
  const uint32_t pairs = (half & 0x00ff00ffu) + ((half >> 8) & 0x00ff00ffu);
  const int sum = static_cast<int>((pairs & 0xffffu) + (pairs >> 16));
  const float bell = __fdiv_rn(static_cast<float>(sum - 510), 147.80054f);
  return __fadd_rn(p.mean, __fmul_rn(p.deviation, bell));
}

// Each thread writes N neighbours of a row.
template <class T, int N>
__global__ void __launch_bounds__(kThreads) dummy_fill_kernel(const DummyFillParams p) {
  const int64_t col = (blockIdx.x * int64_t{kThreads} + threadIdx.x) * N;
  if (col >= p.cols) return;
  for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y) {
    float values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = value(p, p.first + row * p.row_stride + col + i);
    store_vector(static_cast<T*>(p.out) + row * p.cols + col, from_floats<T, N>(values));
  }
}

template <class T>
cudaError_t launch_fill(const DummyFillParams& p, cudaStream_t stream) {
  constexpr int kN = kVectorElements<T>;
  const bool vectors = p.cols % kN == 0 && is_aligned16(p.out);
  const int64_t threads = vectors ? p.cols / kN : p.cols;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(ceil_div(threads, kThreads)),
                                       static_cast<unsigned>(std::min(p.rows, kMaxGridRows))),
                          .block = dim3(kThreads)};
  return launch(vectors ? dummy_fill_kernel<T, kN> : dummy_fill_kernel<T, 1>, shape, stream, p);
}

}  // namespace

cudaError_t launch_dummy_fill(const DummyFillParams& params, cudaStream_t stream) {
  return params.type == ElementType::kBF16 ? launch_fill<__nv_bfloat16>(params, stream)
                                           : launch_fill<float>(params, stream);
}

}  // namespace ernie::kernels
