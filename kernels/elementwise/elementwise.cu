#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/elementwise/activation.cuh"
#include "kernels/elementwise/elementwise.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 256;
// Each thread takes this many vectors, all loaded before the first is used.
constexpr int kUnroll = 2;

// Calls body(index of a vector) for each of `vectors`, kUnroll neighbours of a block's width at
// once.
template <class Load, class Store>
__device__ __forceinline__ void for_vectors(int64_t vectors, const Load& load, const Store& store) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kUnroll) + threadIdx.x;
  using Loaded = decltype(load(int64_t{0}));
  Loaded loaded[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const int64_t v = first + u * kThreads;
    if (v < vectors) loaded[u] = load(v);
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const int64_t v = first + u * kThreads;
    if (v < vectors) store(v, loaded[u]);
  }
}

LaunchShape shape_for(int64_t vectors) {
  return {.grid = dim3(static_cast<unsigned>(ceil_div(vectors, kThreads * kUnroll))),
          .block = dim3(kThreads),
          .overlap_previous = true};
}

template <class A, class B>
struct Two {
  A a;
  B b;
};

template <class T, int N>
__global__ __launch_bounds__(kThreads) void add_kernel(const T* x, T* inout, int64_t vectors) {
  using V = Vector<T, N>;
  for_vectors(
      vectors,
      [&](int64_t v) {
        return Two<V, V>{load_vector<T, N>(x + v * N), load_vector<T, N>(inout + v * N)};
      },
      [&](int64_t v, const Two<V, V>& in) {
        float a[N];
        float b[N];
        to_floats(in.a, a);
        to_floats(in.b, b);
#pragma unroll
        for (int i = 0; i < N; ++i) b[i] += a[i];
        store_vector(inout + v * N, from_floats<T>(b));
      });
}

template <class In, class Out, int N>
__global__ __launch_bounds__(kThreads) void cast_kernel(const In* in, Out* out, int64_t vectors) {
  for_vectors(
      vectors, [&](int64_t v) { return load_vector<In, N>(in + v * N); },
      [&](int64_t v, const Vector<In, N>& x) {
        float y[N];
        to_floats(x, y);
        store_vector(out + v * N, from_floats<Out>(y));
      });
}

template <class T, int N>
__global__ __launch_bounds__(kThreads) void swiglu_kernel(const T* gate_up, T* out, int64_t rows,
                                                          int64_t width) {
  using V = Vector<T, N>;
  const int64_t per_row = width / N;
  for_vectors(
      rows * per_row,
      [&](int64_t v) {
        const int64_t row = v / per_row;
        const T* gate = gate_up + row * 2 * width + (v - row * per_row) * N;
        return Two<V, V>{load_vector<T, N>(gate), load_vector<T, N>(gate + width)};
      },
      [&](int64_t v, const Two<V, V>& in) {
        float gate[N];
        float up[N];
        to_floats(in.a, gate);
        to_floats(in.b, up);
#pragma unroll
        for (int i = 0; i < N; ++i) up[i] *= silu(gate[i]);
        store_vector(out + v * N, from_floats<T>(up));
      });
}

struct ChannelScale {
  float scale[3];
  float shift[3];
};

template <class T, int N>
__global__ __launch_bounds__(kThreads) void normalize_kernel(const uint8_t* in, T* out,
                                                             int64_t vectors, int64_t plane,
                                                             ChannelScale channels) {
  for_vectors(
      vectors, [&](int64_t v) { return load_vector<uint8_t, N>(in + v * N); },
      [&](int64_t v, const Vector<uint8_t, N>& pixels) {
        // A plane is whole vectors, so one channel holds for all of a vector.
        const int c = static_cast<int>(v * N / plane % 3);
        const float scale = c == 0   ? channels.scale[0]
                            : c == 1 ? channels.scale[1]
                                     : channels.scale[2];
        const float shift = c == 0   ? channels.shift[0]
                            : c == 1 ? channels.shift[1]
                                     : channels.shift[2];
        float y[N];
#pragma unroll
        for (int i = 0; i < N; ++i) y[i] = fmaf(static_cast<float>(pixels.v[i]), scale, shift);
        store_vector(out + v * N, from_floats<T>(y));
      });
}

template <class B, class T, int N>
__global__ __launch_bounds__(kThreads) void bias_activation_kernel(const float* in, const B* bias,
                                                                   T* out, int64_t vectors,
                                                                   int64_t width,
                                                                   Activation activation) {
  for_vectors(
      vectors, [&](int64_t v) { return load_vector<float, N>(in + v * N); },
      [&](int64_t v, const Vector<float, N>& x) {
        float y[N];
        to_floats(x, y);
        if (bias != nullptr) {
          float b[N];
          to_floats(load_vector<B, N>(bias + v * N % width), b);
#pragma unroll
          for (int i = 0; i < N; ++i) y[i] += b[i];
        }
#pragma unroll
        for (int i = 0; i < N; ++i) y[i] = activate(activation, y[i]);
        store_vector(out + v * N, from_floats<T>(y));
      });
}

// Whether rows of `width` elements that start at these addresses can be cut into vectors of `n`.
bool aligned(int64_t width, int n, std::initializer_list<const void*> addresses) {
  return width % n == 0 && std::all_of(addresses.begin(), addresses.end(), is_aligned16);
}

template <class T>
cudaError_t add(const AddParams& p, cudaStream_t stream) {
  constexpr int kWide = kVectorElements<T>;
  const T* x = static_cast<const T*>(p.x);
  T* inout = static_cast<T*>(p.inout);
  if (aligned(p.count, kWide, {x, inout})) {
    const int64_t vectors = p.count / kWide;
    return launch(add_kernel<T, kWide>, shape_for(vectors), stream, x, inout, vectors);
  }
  return launch(add_kernel<T, 1>, shape_for(p.count), stream, x, inout, p.count);
}

template <class In, class Out>
cudaError_t cast(const CastParams& p, cudaStream_t stream) {
  const In* in = static_cast<const In*>(p.in);
  Out* out = static_cast<Out*>(p.out);
  if (aligned(p.count, 4, {in, out})) {
    return launch(cast_kernel<In, Out, 4>, shape_for(p.count / 4), stream, in, out, p.count / 4);
  }
  return launch(cast_kernel<In, Out, 1>, shape_for(p.count), stream, in, out, p.count);
}

template <class T>
cudaError_t swiglu(const SwiGluParams& p, cudaStream_t stream) {
  constexpr int kWide = kVectorElements<T>;
  const T* gate_up = static_cast<const T*>(p.gate_up);
  T* out = static_cast<T*>(p.out);
  const auto run = [&](auto kernel, int elements) {
    return launch(kernel, shape_for(p.rows * p.width / elements), stream, gate_up, out, p.rows,
                  p.width);
  };
  return aligned(p.width, kWide, {gate_up, out}) ? run(swiglu_kernel<T, kWide>, kWide)
                                                 : run(swiglu_kernel<T, 1>, 1);
}

template <class T>
cudaError_t normalize(const NormalizePatchesParams& p, cudaStream_t stream) {
  ChannelScale channels{};
  for (int c = 0; c < 3; ++c) {
    channels.scale[c] = 1.0f / (255.0f * p.std[c]);
    channels.shift[c] = -p.mean[c] / p.std[c];
  }
  T* out = static_cast<T*>(p.out);
  const auto run = [&](auto kernel, int elements) {
    const int64_t vectors = p.rows * 3 * p.plane / elements;
    return launch(kernel, shape_for(vectors), stream, p.patches, out, vectors, p.plane, channels);
  };
  return aligned(p.plane, 4, {p.patches, out}) ? run(normalize_kernel<T, 4>, 4)
                                               : run(normalize_kernel<T, 1>, 1);
}

template <class B, class T>
cudaError_t bias_activation(const BiasActivationParams& p, cudaStream_t stream) {
  const B* bias = static_cast<const B*>(p.bias);
  T* out = static_cast<T*>(p.out);
  const auto run = [&](auto kernel, int elements) {
    const int64_t vectors = p.rows * p.width / elements;
    return launch(kernel, shape_for(vectors), stream, p.in, bias, out, vectors, p.width,
                  p.activation);
  };
  return aligned(p.width, 4, {p.in, bias, out}) ? run(bias_activation_kernel<B, T, 4>, 4)
                                                : run(bias_activation_kernel<B, T, 1>, 1);
}

}  // namespace

cudaError_t launch_add(const AddParams& p, cudaStream_t stream) {
  return p.type == ElementType::kF32 ? add<float>(p, stream) : add<__nv_bfloat16>(p, stream);
}

cudaError_t launch_cast(const CastParams& p, cudaStream_t stream) {
  if (p.in_type == p.out_type) {
    return cudaMemcpyAsync(p.out, p.in, static_cast<size_t>(p.count) * element_bytes(p.in_type),
                           cudaMemcpyDeviceToDevice, stream);
  }
  return p.in_type == ElementType::kF32 ? cast<float, __nv_bfloat16>(p, stream)
                                        : cast<__nv_bfloat16, float>(p, stream);
}

cudaError_t launch_swiglu(const SwiGluParams& p, cudaStream_t stream) {
  return p.type == ElementType::kF32 ? swiglu<float>(p, stream) : swiglu<__nv_bfloat16>(p, stream);
}

cudaError_t launch_normalize_patches(const NormalizePatchesParams& p, cudaStream_t stream) {
  return p.out_type == ElementType::kF32 ? normalize<float>(p, stream)
                                         : normalize<__nv_bfloat16>(p, stream);
}

cudaError_t launch_bias_activation(const BiasActivationParams& p, cudaStream_t stream) {
  const bool bias_f32 = p.bias_type == ElementType::kF32;
  if (p.out_type == ElementType::kF32) {
    return bias_f32 ? bias_activation<float, float>(p, stream)
                    : bias_activation<__nv_bfloat16, float>(p, stream);
  }
  return bias_f32 ? bias_activation<float, __nv_bfloat16>(p, stream)
                  : bias_activation<__nv_bfloat16, __nv_bfloat16>(p, stream);
}

}  // namespace ernie::kernels
