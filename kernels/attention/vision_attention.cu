#include <cmath>

#include "kernels/attention/flash_tile.cuh"
#include "kernels/attention/simple_attention.cuh"
#include "kernels/attention/vision_attention.h"
#include "kernels/attention/vision_attention_hopper.h"
#include "kernels/common/arch.h"
#include "kernels/common/launch.cuh"

namespace ernie::kernels {
namespace attention {
namespace {

constexpr int kSimpleWarps = 4;

template <int kDim>
using Shape = FlashShape<kDim, 4, 2, 64>;

struct SegmentSource {
  const __nv_bfloat16* first_query;  // of the first row
  __nv_bfloat16* first_out;
  const __nv_bfloat16* key_base;
  const __nv_bfloat16* value_base;
  int64_t stride;
  int64_t out_stride;
  int head_dim;
  int rows;
  int keys;
  int fully_visible;

  __device__ int last_key(int) const { return keys - 1; }
  __device__ const __nv_bfloat16* query(int row) const { return first_query + row * stride; }
  __device__ __nv_bfloat16* out(int row) const { return first_out + row * out_stride; }
  __device__ int64_t key_offset(int tile, int key) const { return (tile * 64 + key) * stride; }
  __device__ void begin_lookup(int) {}
  __device__ void end_lookup(int) {}
};

template <int kDim>
__global__ void __launch_bounds__(Shape<kDim>::kThreads)
    segment_kernel(const __grid_constant__ VisionAttentionParams p, float scale_log2) {
  extern __shared__ __align__(16) unsigned char shared[];
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int begin = p.segment_start[blockIdx.z];
  const int length = p.segment_start[blockIdx.z + 1] - begin;
  const int first_row = blockIdx.x * Shape<kDim>::kRows;
  if (first_row >= length) return;

  const int head = blockIdx.y;
  const int64_t head_width = int64_t{p.heads} * p.head_dim;
  SegmentSource source;
  source.stride = 3 * head_width;
  source.out_stride = head_width;
  const __nv_bfloat16* segment =
      static_cast<const __nv_bfloat16*>(p.qkv) + begin * source.stride + head * p.head_dim;
  source.first_query = segment + first_row * source.stride;
  source.first_out =
      static_cast<__nv_bfloat16*>(p.out) + (begin + first_row) * head_width + head * p.head_dim;
  source.key_base = segment + head_width;
  source.value_base = segment + 2 * head_width;
  source.head_dim = p.head_dim;
  source.rows = min(Shape<kDim>::kRows, length - first_row);
  source.keys = length;
  source.fully_visible = length;
  flash_attention<Shape<kDim>>(source, shared, scale_log2);
}

// One warp per row and head; blockIdx.x counts the rows of the longest segment.
template <class T>
__global__ void __launch_bounds__(kSimpleWarps * 32)
    simple_segment_kernel(const __grid_constant__ VisionAttentionParams p, float scale) {
  __shared__ float queries[kSimpleWarps][kMaxSimpleHeadDim];
  const int head = blockIdx.y * kSimpleWarps + threadIdx.x / 32;
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int begin = p.segment_start[blockIdx.z];
  const int length = p.segment_start[blockIdx.z + 1] - begin;
  const int row = blockIdx.x;
  if (head >= p.heads || row >= length) return;
  const int64_t head_width = int64_t{p.heads} * p.head_dim;
  const int64_t stride = 3 * head_width;
  const T* segment = static_cast<const T*>(p.qkv) + begin * stride + head * p.head_dim;
  attend_simply(
      segment + row * stride, queries[threadIdx.x / 32], p.head_dim, length, scale,
      PlainElements<T>{segment + head_width, segment + 2 * head_width},
      [&](int key) { return key * stride; },
      static_cast<T*>(p.out) + (begin + row) * head_width + head * p.head_dim);
}

float scale_log2(const VisionAttentionParams& p) {
  return static_cast<float>(std::sqrt(1.0 / p.head_dim) * 1.4426950408889634);
}

template <int kDim>
cudaError_t launch_dim(const VisionAttentionParams& p, cudaStream_t stream) {
  const cudaError_t allowed = allow_shared_memory(segment_kernel<kDim>, Shape<kDim>::kSharedBytes);
  if (allowed != cudaSuccess) return allowed;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(ceil_div(p.max_segment, Shape<kDim>::kRows)),
                   static_cast<unsigned>(p.heads), static_cast<unsigned>(p.segments)),
      .block = dim3(Shape<kDim>::kThreads),
      .shared_bytes = Shape<kDim>::kSharedBytes,
      .overlap_previous = true};
  return launch(segment_kernel<kDim>, shape, stream, p, scale_log2(p));
}

template <class T>
cudaError_t launch_simple_segments(const VisionAttentionParams& p, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.max_segment),
                                       static_cast<unsigned>(ceil_div(p.heads, kSimpleWarps)),
                                       static_cast<unsigned>(p.segments)),
                          .block = dim3(kSimpleWarps * 32),
                          .overlap_previous = true};
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.head_dim)));
  return launch(simple_segment_kernel<T>, shape, stream, p, scale);
}

}  // namespace
}  // namespace attention

cudaError_t launch_vision_attention(const VisionAttentionParams& p, cudaStream_t stream) {
  if (p.segments < 0 || p.segments > 65535 || p.max_segment < 0 || p.heads < 1 || p.heads > 65535 ||
      p.head_dim < 8 || p.head_dim % 8 != 0 || p.head_dim > attention::kMaxSimpleHeadDim ||
      !is_aligned16(p.qkv) || !is_aligned16(p.out)) {
    return cudaErrorInvalidValue;
  }
  if (p.type == ElementType::kF32) return attention::launch_simple_segments<float>(p, stream);
  if (p.head_dim > 128) return attention::launch_simple_segments<__nv_bfloat16>(p, stream);
  if (p.head_dim > 80) return attention::launch_dim<128>(p, stream);
  if (p.head_dim > 64 && arch() >= 90) {
    return attention::launch_vision_hopper(p, attention::scale_log2(p), stream);
  }
  if (p.head_dim > 64) return attention::launch_dim<80>(p, stream);
  return attention::launch_dim<64>(p, stream);
}

}  // namespace ernie::kernels
