#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/rope/rope_kv_write.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kVectorsPerThread = 2;  // both are loaded before the first is used
constexpr int kMaxHeadDim = 256;

// A block rotates kThreads * kVectorsPerThread vectors of one token; blockIdx.y counts the blocks
// of a token. Vectors are numbered along the row, so v heads are the last ones.
template <class T>
__global__ void __launch_bounds__(kThreads) rope_kv_write_kernel(RopeKvWriteParams p) {
  constexpr int kWidth = kVectorElements<T>;
  __shared__ float2 turn[kMaxHeadDim / 2];  // cosine, sine
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
  const int slot = p.slots[token];
  __syncthreads();
  wait_for_previous_kernel();
  Vector16<T> data[kVectorsPerThread];
#pragma unroll
  for (int j = 0; j < kVectorsPerThread; ++j) {
    const int vector = (blockIdx.y * kVectorsPerThread + j) * kThreads + threadIdx.x;
    if (vector < vectors) data[j] = load16(row + vector * kWidth);
  }
  const int64_t block = slot < 0 ? 0 : slot / p.block_size;
  const int offset = slot < 0 ? 0 : slot % p.block_size;
#pragma unroll
  for (int j = 0; j < kVectorsPerThread; ++j) {
    const int vector = (blockIdx.y * kVectorsPerThread + j) * kThreads + threadIdx.x;
    if (vector >= vectors) continue;
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
    if (head >= p.q_heads && slot >= 0) {
      const int kv_head = head - p.q_heads - (is_value ? p.kv_heads : 0);
      T* cache = static_cast<T*>(is_value ? p.values : p.keys);
      store_vector(
          cache + ((block * p.kv_heads + kv_head) * p.block_size + offset) * p.head_dim + at,
          data[j]);
    }
  }
}

template <class T>
cudaError_t launch_typed(const RopeKvWriteParams& p, cudaStream_t stream) {
  const int64_t vectors = int64_t{p.q_heads + 2 * p.kv_heads} * p.head_dim / kVectorElements<T>;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(p.tokens),
                   static_cast<unsigned>(ceil_div(vectors, kThreads * kVectorsPerThread))),
      .block = dim3(kThreads),
      .overlap_previous = true};
  return launch(rope_kv_write_kernel<T>, shape, stream, p);
}

}  // namespace

cudaError_t launch_rope_kv_write(const RopeKvWriteParams& p, cudaStream_t stream) {
  if (p.tokens < 0 || p.q_heads < 0 || p.kv_heads < 1 || p.block_size < 1 || p.head_dim < 8 ||
      p.head_dim % 8 != 0 || p.head_dim > kMaxHeadDim || !is_aligned16(p.qkv) ||
      !is_aligned16(p.keys) || !is_aligned16(p.values)) {
    return cudaErrorInvalidValue;
  }
  return p.type == ElementType::kF32 ? launch_typed<float>(p, stream)
                                     : launch_typed<__nv_bfloat16>(p, stream);
}

}  // namespace ernie::kernels
