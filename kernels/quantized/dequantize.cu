#include "kernels/common/launch.cuh"
#include "kernels/quantized/quantized.cuh"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 256;

// A block takes one row, a thread four values of a step at a time.
template <class T>
__global__ __launch_bounds__(kThreads) void dequantize_kernel(QuantizedMatrix in, T* out) {
  const int64_t row = blockIdx.x;
  const QuantizedRow from(in.format, in.values, in.scales, stored_row(row, in.rows, in.order),
                          in.cols);
  for (int64_t i = threadIdx.x; i < ceil_div(in.cols, 16) * 4; i += kThreads) {
    const int64_t step = i / 4;
    const int t = static_cast<int>(i % 4);
    float values[4];
    from.load(step, t, values);
    const float scale = from.scale(step);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t col = step * 16 + k_in_step(t, j);
      if (col < in.cols) out[row * in.cols + col] = from_float<T>(values[j] * scale);
    }
  }
}

}  // namespace

cudaError_t launch_dequantize(const QuantizedMatrix& in, ElementType type, void* out,
                              cudaStream_t stream) {
  if (in.format.type == WeightType::kNative || in.rows <= 0 || in.cols <= 0) {
    return cudaErrorInvalidValue;
  }
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(in.rows)), .block = dim3(kThreads)};
  return type == ElementType::kF32
             ? launch(dequantize_kernel<float>, shape, stream, in, static_cast<float*>(out))
             : launch(dequantize_kernel<__nv_bfloat16>, shape, stream, in,
                      static_cast<__nv_bfloat16*>(out));
}

}  // namespace ernie::kernels
