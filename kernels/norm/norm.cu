#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/norm/norm.h"

namespace ernie::kernels {
namespace {

// One block of kThreads normalises one row. kPerThread vectors of kElements stay in registers;
// kPerThread = 0 stands for rows of any length, which are read again from memory for each pass.
// Threads and vectors follow from the width alone, and with them the order of additions.
template <class T, int kElements>
struct RowReader {
  const T* x;
  T* residual;
  int64_t width;

  // Reads elements [at, at + kElements) and updates the residual, as the first pass does.
  __device__ void read_first(int64_t at, float (&out)[kElements]) const {
    to_floats(load_vector<T, kElements>(x + at), out);
    if (residual == nullptr) return;
    float sum[kElements];
    to_floats(load_vector<T, kElements>(residual + at), sum);
#pragma unroll
    for (int i = 0; i < kElements; ++i) sum[i] += out[i];
    const Vector<T, kElements> rounded = from_floats<T>(sum);
    store_vector(residual + at, rounded);
    to_floats(rounded, out);
  }
  __device__ void read_again(int64_t at, float (&out)[kElements]) const {
    to_floats(load_vector<T, kElements>((residual != nullptr ? residual : x) + at), out);
  }
};

template <class T, int kThreads, int kElements, int kPerThread>
class Row {
 public:
  __device__ Row(const RowReader<T, kElements>& reader) : reader_(reader) {
    if constexpr (kPerThread > 0) {
#pragma unroll
      for (int v = 0; v < kPerThread; ++v) {
        const int64_t at = position(v);
        if (at < reader_.width) reader_.read_first(at, kept_[v]);
      }
    } else {
      float unused[kElements];
      for (int64_t at = position(0); at < reader_.width; at += kStep) {
        reader_.read_first(at, unused);
      }
    }
  }

  // Calls visit(number, first element's index, values) for this thread's vectors in order; in rows
  // of any length the number is always 0.
  template <class Visit>
  __device__ void for_each(const Visit& visit) const {
    if constexpr (kPerThread > 0) {
#pragma unroll
      for (int v = 0; v < kPerThread; ++v) {
        const int64_t at = position(v);
        if (at < reader_.width) visit(v, at, kept_[v]);
      }
    } else {
      float values[kElements];
      for (int64_t at = position(0); at < reader_.width; at += kStep) {
        reader_.read_again(at, values);
        visit(0, at, values);
      }
    }
  }

  // The first element of this thread's vector v.
  __device__ static int64_t position(int v) {
    return v * kStep + static_cast<int64_t>(threadIdx.x) * kElements;
  }

 private:
  static constexpr int64_t kStep = int64_t{kThreads} * kElements;

  RowReader<T, kElements> reader_;
  float kept_[kPerThread > 0 ? kPerThread : 1][kElements];
};

template <class T, int kThreads, int kElements, int kPerThread, bool kLayerNorm>
__global__ __launch_bounds__(kThreads) void norm_kernel(NormParams p) {
  let_next_kernel_start();
  const T* weight = static_cast<const T*>(p.weight);
  Vector<T, kElements> weights[kPerThread > 0 ? kPerThread : 1];  // no kernel writes them
#pragma unroll
  for (int v = 0; v < kPerThread; ++v) {
    const int64_t at = Row<T, kThreads, kElements, kPerThread>::position(v);
    if (at < p.width) weights[v] = load_vector<T, kElements>(weight + at);
  }
  wait_for_previous_kernel();
  const int64_t start = static_cast<int64_t>(blockIdx.x) * p.width;
  const Row<T, kThreads, kElements, kPerThread> row(RowReader<T, kElements>{
      static_cast<const T*>(p.x) + start,
      p.residual != nullptr ? static_cast<T*>(p.residual) + start : nullptr, p.width});
  const float count = static_cast<float>(p.width);

  float mean = 0;
  if constexpr (kLayerNorm) {
    float sum = 0;
    row.for_each([&](int, int64_t, const float(&x)[kElements]) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) sum += x[i];
    });
    mean = block_sum<kThreads>(sum) / count;
  }
  float squares = 0;
  row.for_each([&](int, int64_t, const float(&x)[kElements]) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) squares = fmaf(x[i] - mean, x[i] - mean, squares);
  });
  // Also the barrier before `out`, which may be `x`, is overwritten.
  const float scale = rsqrtf(block_sum<kThreads>(squares) / count + p.eps);

  const T* bias = static_cast<const T*>(p.bias);
  T* out = static_cast<T*>(p.out) + start;
  row.for_each([&](int v, int64_t at, const float(&x)[kElements]) {
    float w[kElements];
    float y[kElements];
    to_floats(kPerThread > 0 ? weights[v] : load_vector<T, kElements>(weight + at), w);
#pragma unroll
    for (int i = 0; i < kElements; ++i) y[i] = (x[i] - mean) * scale * w[i];
    if constexpr (kLayerNorm) {
      float b[kElements];
      to_floats(load_vector<T, kElements>(bias + at), b);
#pragma unroll
      for (int i = 0; i < kElements; ++i) y[i] += b[i];
    }
    store_vector(out + at, from_floats<T>(y));
  });
}

template <class T, bool kLayerNorm, int kThreads, int kElements, int kPerThread>
cudaError_t launch_shape(const NormParams& p, cudaStream_t stream) {
  return launch(norm_kernel<T, kThreads, kElements, kPerThread, kLayerNorm>,
                {.grid = dim3(static_cast<unsigned>(p.rows)),
                 .block = dim3(kThreads),
                 .overlap_previous = true},
                stream, p);
}

template <class T, bool kLayerNorm>
cudaError_t launch_norm(const NormParams& p, cudaStream_t stream) {
  constexpr int kWide = kVectorElements<T>;
  const bool aligned = p.width % kWide == 0 && is_aligned16(p.x) && is_aligned16(p.residual) &&
                       is_aligned16(p.weight) && is_aligned16(p.bias) && is_aligned16(p.out);
  if (!aligned) return launch_shape<T, kLayerNorm, 256, 1, 0>(p, stream);
  const int64_t vectors = p.width / kWide;
  if (vectors <= 256) return launch_shape<T, kLayerNorm, 256, kWide, 1>(p, stream);
  if (vectors <= 512) return launch_shape<T, kLayerNorm, 512, kWide, 1>(p, stream);
  if (vectors <= 1024) return launch_shape<T, kLayerNorm, 1024, kWide, 1>(p, stream);
  if (vectors <= 2048) return launch_shape<T, kLayerNorm, 1024, kWide, 2>(p, stream);
  return launch_shape<T, kLayerNorm, 256, kWide, 0>(p, stream);
}

template <bool kLayerNorm>
cudaError_t launch_typed(const NormParams& p, cudaStream_t stream) {
  if (p.rows == 0) return cudaSuccess;
  if (p.rows < 0 || p.rows > INT32_MAX || p.width <= 0) return cudaErrorInvalidValue;
  return p.type == ElementType::kF32 ? launch_norm<float, kLayerNorm>(p, stream)
                                     : launch_norm<__nv_bfloat16, kLayerNorm>(p, stream);
}

}  // namespace

cudaError_t launch_rms_norm(const NormParams& params, cudaStream_t stream) {
  return launch_typed<false>(params, stream);
}

cudaError_t launch_layer_norm(const NormParams& params, cudaStream_t stream) {
  if (params.residual != nullptr || params.bias == nullptr) return cudaErrorInvalidValue;
  return launch_typed<true>(params, stream);
}

}  // namespace ernie::kernels
