#include <cmath>

#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/testing/testing.h"

namespace ernie::kernels {
namespace {

using testing::DeviceArray;
using testing::Random;

__global__ void reduce_kernel(const float* in, float* sums, float* maxima) {
  const float x = in[blockIdx.x * 256 + threadIdx.x];
  const float sum = block_sum<256>(x);
  const float top = block_max<256>(x);
  if (threadIdx.x == 255) {
    sums[blockIdx.x] = sum;
    maxima[blockIdx.x] = top;
  }
}

KERNEL_TEST(BlockReductionsMatchFloat64) {
  constexpr int kBlocks = 17;
  Random random(3);
  const std::vector<float> values = random.normal<float>(kBlocks * 256);
  const DeviceArray<float> in(values), sums(kBlocks), maxima(kBlocks);
  testing::run_in_graph(
      [&](cudaStream_t stream) {
        return launch(reduce_kernel, {dim3(kBlocks), dim3(256)}, stream, in.data(), sums.data(),
                      maxima.data());
      },
      2);
  std::vector<double> sum(kBlocks), top(kBlocks, -INFINITY);
  for (size_t i = 0; i < values.size(); ++i) {
    sum[i / 256] += values[i];
    top[i / 256] = std::max<double>(top[i / 256], values[i]);
  }
  testing::expect_close(sums.download(), sum, {.absolute = 1e-4}, "block_sum");
  testing::expect_close(maxima.download(), top, {}, "block_max");
}

template <class T>
__global__ void copy_kernel(const T* in, T* out, int count) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int i = (blockIdx.x * blockDim.x + threadIdx.x) * kVectorElements<T>;
  if (i >= count) return;
  float values[kVectorElements<T>];
  to_floats(load16(in + i), values);
  store_vector(out + i, from_floats<T>(values));
}

template <class T>
void check_copy() {
  constexpr int kCount = 4096;
  Random random(5);
  const std::vector<T> values = random.normal<T>(kCount);
  const DeviceArray<T> in(values), middle(kCount), out(kCount);
  // The second kernel may start before the first ends, and must still see what it wrote.
  testing::run_in_graph([&](cudaStream_t stream) {
    const LaunchShape shape{.grid = dim3(64), .block = dim3(64), .overlap_previous = true};
    return first_error({launch(copy_kernel<T>, shape, stream, in.data(), middle.data(), kCount),
                        launch(copy_kernel<T>, shape, stream, middle.data(), out.data(), kCount)});
  });
  testing::expect_same_bits(out.download(), values, testing::type_name<T>());
}

KERNEL_TEST(VectorsKeepTheirBitsThroughOverlappingKernels) {
  check_copy<float>();
  check_copy<__nv_bfloat16>();
}

KERNEL_TEST(AnEmptyGridIsNothingToDo) {
  testing::run([](cudaStream_t stream) {
    return launch(copy_kernel<float>, {dim3(0), dim3(64)}, stream, nullptr, nullptr, 0);
  });
}

}  // namespace
}  // namespace ernie::kernels
