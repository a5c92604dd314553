#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/experts.h"
#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/experts_internal.h"
#include "kernels/moe/moe_sizes.h"
#include "kernels/moe/permute.h"
#include "kernels/moe/router.h"
#include "kernels/quantized/quantized.cuh"

namespace ernie::kernels {
namespace moe {
namespace {

constexpr int kThreads = 256;

// An asm statement, so that the compiler neither puts it off until the value is used nor moves it
// before the wait for the kernel that writes the results.
__device__ __forceinline__ float4 load_result(const float* p) {
  float4 x;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "l"(p));
  return x;
}

// The weighted sum of a token's rows: rising expert ids, then the shared expert. Block (token, i)
// does 4 * kThreads columns. kSlots >= top_k; all its loads are under way together.
template <class Out, int kSlots>
__global__ __launch_bounds__(kThreads) void combine_kernel(
    const __grid_constant__ Problem problem) {
  const MoeExpertsParams& p = problem.p;
  __shared__ int rows[kSlots];  // -1: no row
  __shared__ float weights[kSlots];
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int token = static_cast<int>(blockIdx.x);
  if (threadIdx.x < 32) {
    const int k = static_cast<int>(threadIdx.x);
    const size_t pair = static_cast<size_t>(token) * p.top_k + min(k, p.top_k - 1);
    const int id = p.expert_ids[pair];
    const int by_expert = rank_by_expert(id, p.top_k);
    if (k < kSlots) {
      const int rank = k < p.top_k ? by_expert : k;
      rows[rank] = k < p.top_k ? problem.scratch.pair_row[pair] : -1;
      weights[rank] = p.expert_weights[pair];
    }
  }
  __syncthreads();
  const int column = 4 * static_cast<int>(blockIdx.y * kThreads + threadIdx.x);
  if (column >= p.hidden) return;
  const float* results = problem.scratch.result + column;
  float4 part[kSlots];
#pragma unroll
  for (int k = 0; k < kSlots; ++k) {
    const size_t row = static_cast<size_t>(max(rows[k], 0));
    part[k] = load_result(results + row * p.hidden);
  }
  float4 shared{};
  if (p.shared_width > 0) {
    const size_t row = static_cast<size_t>(p.tokens) * p.top_k + token;
    shared = load_result(results + row * p.hidden);
  }
  float sum[4] = {};
#pragma unroll
  for (int k = 0; k < kSlots; ++k) {
    if (rows[k] < 0) continue;
    sum[0] = fmaf(weights[k], part[k].x, sum[0]);
    sum[1] = fmaf(weights[k], part[k].y, sum[1]);
    sum[2] = fmaf(weights[k], part[k].z, sum[2]);
    sum[3] = fmaf(weights[k], part[k].w, sum[3]);
  }
  sum[0] += shared.x;
  sum[1] += shared.y;
  sum[2] += shared.z;
  sum[3] += shared.w;
  store_vector(static_cast<Out*>(p.out) + static_cast<size_t>(token) * p.hidden + column,
               from_floats<Out>(sum));
}

template <class Out>
cudaError_t launch_combine_to(const Problem& problem, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.tokens),
                                       static_cast<unsigned>(ceil_div(p.hidden, 4 * kThreads))),
                          .block = dim3(kThreads),
                          .overlap_previous = true};
  switch ((p.top_k + 1) / 2) {
    case 1:
      return launch(combine_kernel<Out, 2>, shape, stream, problem);
    case 2:
      return launch(combine_kernel<Out, 4>, shape, stream, problem);
    case 3:
      return launch(combine_kernel<Out, 6>, shape, stream, problem);
    default:
      return launch(combine_kernel<Out, 8>, shape, stream, problem);
  }
}

cudaError_t launch_combine(const Problem& problem, cudaStream_t stream) {
  return problem.p.out_type == ElementType::kBF16
             ? launch_combine_to<__nv_bfloat16>(problem, stream)
             : launch_combine_to<float>(problem, stream);
}

// The float32 kernels serve golden tests: one warp for each element, no tiles.

// The expert of a row, or -1 for a row that no pair took.
__device__ int expert_of_row(const Problem& problem, int row) {
  const int* offsets = problem.scratch.offsets;
  if (row >= problem.p.tokens * problem.p.top_k) return problem.experts;
  if (row >= offsets[problem.experts]) return -1;
  int low = 0;
  int high = problem.experts;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

__device__ float dot(const float* a, const float* b, int n) {
  float sum = 0;
  for (int i = threadIdx.x % 32; i < n; i += 32) sum = fmaf(a[i], b[i], sum);
  return warp_sum(sum);
}

// Row `row` of a matrix with x, both k long. Of quantised weights, four lanes share a step of 16.
struct Matrix {
  WeightFormat format;
  const void* values;
  const void* scales;
  int k;

  __device__ float dot(int64_t row, const float* x) const {
    if (format.type == WeightType::kNative) {
      return moe::dot(static_cast<const float*>(values) + row * k, x, k);
    }
    const QuantizedRow weights(format, values, scales, row, k);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float sum = 0;
    for (int step = lane / 4; step * 16 < k; step += 8) {
      float w[4];
      weights.load(step, lane % 4, w);
      const float scale = weights.scale(step);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = step * 16 + k_in_step(lane % 4, i);
        if (at < k) sum = fmaf(w[i] * scale, x[at], sum);
      }
    }
    return warp_sum(sum);
  }
};

template <bool kGateUp>
__global__ __launch_bounds__(kThreads) void float32_kernel(const __grid_constant__ Problem problem,
                                                           int rows) {
  const MoeExpertsParams& p = problem.p;
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int64_t columns = kGateUp ? problem.inner_stride : p.hidden;
  float* inner = static_cast<float*>(problem.scratch.inner);
  for (int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32; i < rows * columns;
       i += int64_t{gridDim.x} * kThreads / 32) {
    const int row = static_cast<int>(i / columns);
    const int column = static_cast<int>(i % columns);
    const int expert = expert_of_row(problem, row);
    if (expert < 0) continue;
    const int width = width_of(problem, expert);
    const WeightFormat format = format_of(problem, expert);
    const bool native = format.type == WeightType::kNative;
    float* inner_row = inner + int64_t{row} * problem.inner_stride;
    if constexpr (kGateUp) {
      if (column >= width) continue;
      const float* x =
          static_cast<const float*>(p.x) + int64_t{problem.scratch.row_token[row]} * p.hidden;
      const Matrix weight{format, p.gate_up[expert], native ? nullptr : p.gate_up_scales[expert],
                          p.hidden};
      const RowOrder order = native ? RowOrder::kPlain : RowOrder::kGateUp;
      const float gate = weight.dot(stored_row(column, 2 * width, order), x);
      const float up = weight.dot(stored_row(width + column, 2 * width, order), x);
      if (threadIdx.x % 32 == 0) inner_row[column] = gate / (1.0f + expf(-gate)) * up;
    } else {
      const Matrix weight{format, p.down[expert], native ? nullptr : p.down_scales[expert], width};
      const float sum = weight.dot(column, inner_row);
      if (threadIdx.x % 32 == 0) problem.scratch.result[int64_t{row} * p.hidden + column] = sum;
    }
  }
}

MoeExpertsShape shape_of(const MoeExpertsParams& p) {
  return {.type = p.type,
          .tokens = p.tokens,
          .hidden = p.hidden,
          .top_k = p.top_k,
          .experts = p.text_experts + p.vision_experts,
          .widest = std::max({p.text_experts > 0 ? p.text_width : 0,
                              p.vision_experts > 0 ? p.vision_width : 0, p.shared_width}),
          .has_shared = p.shared_width > 0};
}

Problem problem_of(const MoeExpertsParams& p) {
  const MoeExpertsShape shape = shape_of(p);
  const MoeExpertsWorkspace at(shape);
  char* base = static_cast<char*>(p.workspace);
  return {.p = p,
          .scratch = {.offsets = reinterpret_cast<int32_t*>(base + at.offsets),
                      .row_token = reinterpret_cast<int32_t*>(base + at.row_token),
                      .pair_row = reinterpret_cast<int32_t*>(base + at.pair_row),
                      .inner = base + at.inner,
                      .result = reinterpret_cast<float*>(base + at.result)},
          .experts = shape.experts,
          .inner_stride = shape.widest};
}

bool is_quantized(const MoeExpertsParams& p) {
  const WeightFormat& some = p.text_experts > 0 ? p.text_format : p.vision_format;
  return some.type != WeightType::kNative;
}

bool is_valid(const MoeExpertsParams& p) {
  if (p.tokens < 0 || p.hidden <= 0 || p.hidden % 8 != 0 || p.top_k <= 0 || p.top_k > kMaxTopK ||
      p.text_experts < 0 || p.vision_experts < 0 || p.text_experts + p.vision_experts == 0 ||
      p.text_experts + p.vision_experts > kMaxMoeExperts || p.shared_width < 0) {
    return false;
  }
  const bool bf16 = p.type == ElementType::kBF16;
  const bool quantized = is_quantized(p);
  const auto fits = [&](int experts, int width, const WeightFormat& format) {
    return experts == 0 || (width > 0 && (!bf16 || width % 8 == 0) &&
                            (format.type != WeightType::kNative) == quantized);
  };
  return fits(p.text_experts, p.text_width, p.text_format) &&
         fits(p.vision_experts, p.vision_width, p.vision_format) &&
         fits(p.shared_width, p.shared_width, p.shared_format) && p.workspace != nullptr;
}

cudaError_t launch_products(const Problem& problem, MoePath path, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const bool quantized = is_quantized(p) && p.type == ElementType::kBF16;
  if (path == MoePath::kDecode) {
    return quantized ? launch_quantized(problem, stream) : launch_decode(problem, stream);
  }
  const cudaError_t error = launch_moe_permute({.expert_ids = p.expert_ids,
                                                .tokens = p.tokens,
                                                .top_k = p.top_k,
                                                .experts = problem.experts,
                                                .shared_rows = p.shared_width > 0,
                                                .offsets = problem.scratch.offsets,
                                                .row_token = problem.scratch.row_token,
                                                .pair_row = problem.scratch.pair_row},
                                               stream);
  if (error != cudaSuccess) return error;
  if (p.type == ElementType::kF32) return launch_float32(problem, stream);
  if (path == MoePath::kHopper) {
    return quantized ? launch_quantized_hopper(problem, stream) : launch_hopper(problem, stream);
  }
  return quantized ? launch_quantized(problem, stream) : launch_ampere(problem, stream);
}

}  // namespace

cudaError_t launch_float32(const Problem& problem, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const int rows = p.tokens * (p.top_k + (p.shared_width > 0 ? 1 : 0));
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(8 * multiprocessors())),
                          .block = dim3(kThreads),
                          .overlap_previous = true};
  return first_error({launch(float32_kernel<true>, shape, stream, problem, rows),
                      launch(float32_kernel<false>, shape, stream, problem, rows)});
}

}  // namespace moe

size_t moe_experts_workspace_bytes(const MoeExpertsParams& params) {
  return MoeExpertsWorkspace(moe::shape_of(params)).bytes;
}

cudaError_t launch_moe_experts(const MoeExpertsParams& p, cudaStream_t stream) {
  if (p.tokens == 0) return cudaSuccess;
  if (!moe::is_valid(p)) return cudaErrorInvalidValue;
  const moe::Problem problem = moe::problem_of(p);
  const bool quantized = moe::is_quantized(p);
  const bool can_hopper = arch() >= 90 && (quantized || p.weight_maps != nullptr);
  MoePath path = p.path;
  if (path == MoePath::kAuto) {
    const bool few = p.tokens <= kMaxDecodeTokens;
    path = p.tokens == 1                       ? MoePath::kSingle
           : can_hopper && !(quantized && few) ? MoePath::kHopper
           : few                               ? MoePath::kDecode
                                               : MoePath::kAmpere;
  }
  if (p.type == ElementType::kF32) path = MoePath::kAmpere;
  if ((path == MoePath::kSingle && p.tokens != 1) ||
      (path == MoePath::kDecode && p.tokens > kMaxDecodeTokens) ||
      (path == MoePath::kHopper && !can_hopper)) {
    return cudaErrorInvalidValue;
  }
  if (path == MoePath::kSingle) {
    if (!quantized && moe::single_takes(p)) return moe::launch_single(problem, stream);
    path = MoePath::kDecode;
  }
  return first_error(
      {moe::launch_products(problem, path, stream), moe::launch_combine(problem, stream)});
}

}  // namespace ernie::kernels
