#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/quantized/cache_cells.cuh"
#include "kernels/rope/rope_kv_write.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kVectorsPerThread = 2;  // both are loaded before the first is used
constexpr int kMaxHeadDim = 256;

// Vectors of a block: as many as its threads take, in whole heads.
__host__ __device__ constexpr int block_vectors(int vectors_per_head) {
  return kThreads * kVectorsPerThread / vectors_per_head * vectors_per_head;
}

// The bits of the largest magnitude; a NaN is larger than infinity.
template <int kWidth>
__device__ __forceinline__ unsigned absmax_bits(const float (&x)[kWidth]) {
  unsigned most = 0;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) most = max(most, __float_as_uint(x[e]) & 0x7fffffffu);
  return most;
}

template <CacheType kCache, int kWidth>
__device__ __forceinline__ Vector<uint8_t, kWidth> to_cells(const float (&x)[kWidth], float scale) {
  Vector<uint8_t, kWidth> cells;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) cells.v[e] = to_cell<kCache>(x[e], scale);
  return cells;
}

// A block rotates the vectors of some heads of one token; blockIdx.y counts the blocks of a token.
// Vectors are numbered along the row, so v heads are the last ones.
template <class T, CacheType kCache>
__global__ void __launch_bounds__(kThreads) rope_kv_write_kernel(RopeKvWriteParams p) {
  constexpr int kWidth = kVectorElements<T>;
  __shared__ float2 turn[kMaxHeadDim / 2];  // cosine, sine
  // Of the block's heads, for their scales.
  constexpr int kMostHeads = kThreads * kVectorsPerThread * kWidth / 8;
  __shared__ unsigned absmax[kCache == CacheType::kPlain ? 1 : kMostHeads];
  const int token = blockIdx.x;
  const int vectors_per_head = p.head_dim / kWidth;
  const int vectors = (p.q_heads + 2 * p.kv_heads) * vectors_per_head;
  T* row = static_cast<T*>(p.qkv) + static_cast<int64_t>(token) * vectors * kWidth;

  let_next_kernel_start();
  for (int i = threadIdx.x; i < p.head_dim / 2; i += kThreads) {
    const float position = static_cast<float>(p.positions[token * 3 + p.axis[i]]);
    float sine, cosine;
    sincosf(__fmul_rn(position, p.inv_freq[i]), &sine, &cosine);
    turn[i] = make_float2(cosine, sine);
  }
  if constexpr (kCache != CacheType::kPlain) {
    for (int i = threadIdx.x; i < kMostHeads; i += kThreads) absmax[i] = 0;
  }
  const int slot = p.slots[token];
  __syncthreads();
  wait_for_previous_kernel();
  const int span = block_vectors(vectors_per_head);
  const int first_vector = static_cast<int>(blockIdx.y) * span;
  const int end_vector = min(first_vector + span, vectors);
  Vector16<T> data[kVectorsPerThread];
#pragma unroll
  for (int j = 0; j < kVectorsPerThread; ++j) {
    const int vector = first_vector + j * kThreads + threadIdx.x;
    if (vector < end_vector) data[j] = load16(row + vector * kWidth);
  }
  const int64_t block = slot < 0 ? 0 : slot / p.block_size;
  const int offset = slot < 0 ? 0 : slot % p.block_size;
#pragma unroll
  for (int j = 0; j < kVectorsPerThread; ++j) {
    const int vector = first_vector + j * kThreads + threadIdx.x;
    if (vector >= end_vector) continue;
    const int head = vector / vectors_per_head;
    const int at = vector % vectors_per_head * kWidth;  // within the head
    const bool is_value = head >= p.q_heads + p.kv_heads;
    if (!is_value) {
      float x[kWidth];
      to_floats(data[j], x);
#pragma unroll
      for (int e = 0; e < kWidth; e += 2) {
        const float2 t = turn[(at + e) / 2];
        const float first = x[e];
        const float second = x[e + 1];
        x[e] = first * t.x - second * t.y;
        x[e + 1] = second * t.x + first * t.y;
      }
      data[j] = from_floats<T>(x);
      store_vector(row + vector * kWidth, data[j]);
    }
    if (head < p.q_heads || slot < 0) continue;
    if constexpr (kCache == CacheType::kPlain) {
      const int kv_head = head - p.q_heads - (is_value ? p.kv_heads : 0);
      T* cache = static_cast<T*>(is_value ? p.values : p.keys);
      store_vector(
          cache + ((block * p.kv_heads + kv_head) * p.block_size + offset) * p.head_dim + at,
          data[j]);
    } else {
      float x[kWidth];
      to_floats(data[j], x);
      atomicMax(&absmax[(vector - first_vector) / vectors_per_head], absmax_bits(x));
    }
  }
  if constexpr (kCache != CacheType::kPlain) {
    if (slot < 0) return;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kVectorsPerThread; ++j) {
      const int vector = first_vector + j * kThreads + threadIdx.x;
      const int head = vector / vectors_per_head;
      if (vector >= end_vector || head < p.q_heads) continue;
      const int at = vector % vectors_per_head * kWidth;
      const bool is_value = head >= p.q_heads + p.kv_heads;
      const int kv_head = head - p.q_heads - (is_value ? p.kv_heads : 0);
      const int64_t cache_row = (block * p.kv_heads + kv_head) * p.block_size + offset;
      const float most = __uint_as_float(absmax[(vector - first_vector) / vectors_per_head]);
      const __nv_bfloat16 scale = cell_scale<kCache>(most);
      float x[kWidth];
      to_floats(data[j], x);
      store_vector(
          static_cast<uint8_t*>(is_value ? p.values : p.keys) + cache_row * p.head_dim + at,
          to_cells<kCache>(x, to_float(scale)));
      if (at == 0) static_cast<__nv_bfloat16*>(p.scales)[2 * cache_row + is_value] = scale;
    }
  }
}

template <class T>
cudaError_t launch_typed(const RopeKvWriteParams& p, cudaStream_t stream) {
  const int vectors_per_head = p.head_dim / kVectorElements<T>;
  const int64_t vectors = int64_t{p.q_heads + 2 * p.kv_heads} * vectors_per_head;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(p.tokens),
                   static_cast<unsigned>(ceil_div(vectors, block_vectors(vectors_per_head)))),
      .block = dim3(kThreads),
      .overlap_previous = true};
  switch (p.cache) {
    case CacheType::kPlain:
      return launch(rope_kv_write_kernel<T, CacheType::kPlain>, shape, stream, p);
    case CacheType::kInt8:
      return launch(rope_kv_write_kernel<T, CacheType::kInt8>, shape, stream, p);
    case CacheType::kE4m3:
      return launch(rope_kv_write_kernel<T, CacheType::kE4m3>, shape, stream, p);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_rope_kv_write(const RopeKvWriteParams& p, cudaStream_t stream) {
  if (p.tokens < 0 || p.q_heads < 0 || p.kv_heads < 1 || p.block_size < 1 || p.head_dim < 8 ||
      p.head_dim % 8 != 0 || p.head_dim > kMaxHeadDim || !is_aligned16(p.qkv) ||
      !is_aligned16(p.keys) || !is_aligned16(p.values) || !is_aligned16(p.scales) ||
      (p.cache != CacheType::kPlain && p.scales == nullptr && p.tokens > 0)) {
    return cudaErrorInvalidValue;
  }
  return p.type == ElementType::kF32 ? launch_typed<float>(p, stream)
                                     : launch_typed<__nv_bfloat16>(p, stream);
}

}  // namespace ernie::kernels
