#pragma once

#include <cuda_bf16.h>

#include <cstdint>

// 16-byte accesses and conversions between the storage types and float32.
namespace ernie::kernels {

// N elements that are loaded and stored in one access of N * sizeof(T) <= 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  static_assert(sizeof(T) * N <= 16 && (N & (N - 1)) == 0);
  T v[N];
};

template <class T>
constexpr int kVectorElements = 16 / static_cast<int>(sizeof(T));
template <class T>
using Vector16 = Vector<T, kVectorElements<T>>;

__host__ __device__ __forceinline__ float to_float(float x) { return x; }
__host__ __device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to nearest, ties to even; NaN stays NaN.
template <class T>
__host__ __device__ __forceinline__ T from_float(float x);
template <>
__host__ __device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__host__ __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

__host__ __forceinline__ bool is_aligned16(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

template <class T, int N>
__device__ __forceinline__ Vector<T, N> load_vector(const T* p) {
  return *reinterpret_cast<const Vector<T, N>*>(p);
}
template <class T>
__device__ __forceinline__ Vector16<T> load16(const T* p) {
  return load_vector<T, kVectorElements<T>>(p);
}

template <class T, int N>
__device__ __forceinline__ void store_vector(T* p, const Vector<T, N>& x) {
  *reinterpret_cast<Vector<T, N>*>(p) = x;
}

template <class T, int N>
__device__ __forceinline__ void to_floats(const Vector<T, N>& x, float (&out)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) out[i] = to_float(x.v[i]);
}
template <class T, int N>
__device__ __forceinline__ Vector<T, N> from_floats(const float (&x)[N]) {
  Vector<T, N> out;
#pragma unroll
  for (int i = 0; i < N; ++i) out.v[i] = from_float<T>(x[i]);
  return out;
}

}  // namespace ernie::kernels
