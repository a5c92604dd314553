#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/router.h"
#include "kernels/moe/weight_stream.cuh"

// The expert MLP of one token, with the bits of launch_decode: nothing is sorted, and the blocks of
// the second product add up the experts themselves. Before the kernels wait for their predecessors
// they ask for weights: of the shared expert, and of those that the router is known to have chosen.
namespace ernie::kernels::moe {
namespace {

constexpr int kWarps = 4;  // of a block of the first product
constexpr int kBlocksPerMultiprocessor = 3;
constexpr int kGateUpSlots = 16;
constexpr int kDownSlots = 12;
constexpr int kMostMembers = 9;  // chosen experts and the shared one

// What a block knows of an expert that takes part.
struct Member {
  const __nv_bfloat16* weights;
  int width;
};

// Member m < top_k is the token's choice m, member top_k the shared expert. Width 0: not there.
template <bool kGateUp>
__device__ __forceinline__ Member member_of(const MoeExpertsParams& p, int m) {
  const int experts = p.text_experts + p.vision_experts;
  int expert = experts;
  int width = p.shared_width;
  if (m < p.top_k) {
    expert = __ldcg(p.expert_ids + m);
    if (static_cast<unsigned>(expert) >= static_cast<unsigned>(experts)) return {nullptr, 0};
    width = width_of(p, expert);
  }
  if (width == 0) return {nullptr, 0};
  return {static_cast<const __nv_bfloat16*>(kGateUp ? p.gate_up[expert] : p.down[expert]), width};
}

// Each warp takes items of 8 gate and 8 up rows, those of the shared expert first.
__global__ __launch_bounds__(kWarps * 32, kBlocksPerMultiprocessor) void gate_up_kernel(
    const __grid_constant__ Problem problem) {
  extern __shared__ uint4 shared_memory[];
  const MoeExpertsParams& p = problem.p;
  auto& ring = reinterpret_cast<Ring<kGateUpSlots>*>(shared_memory)[threadIdx.x / 32];
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const int shared_items = p.shared_width / 8;
  const int widest =
      max(p.text_experts > 0 ? p.text_width : 0, p.vision_experts > 0 ? p.vision_width : 0);
  const int items = shared_items + p.top_k * (widest / 8);
  // The next kernel looks up what the router chose before it waits, so it must not start earlier.
  const auto wait_for_router = [] {
    wait_for_previous_kernel();
    let_next_kernel_start();
  };
  for (int item = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
       item < items; item += static_cast<int>(gridDim.x) * kWarps) {
    const bool shared = item < shared_items;
    if (!shared) wait_for_router();
    const int m = shared ? p.top_k : (item - shared_items) % p.top_k;
    const int tile = shared ? item : (item - shared_items) / p.top_k;
    const Member member = member_of<true>(p, m);
    if (8 * tile >= member.width) continue;
    const __nv_bfloat16* gate =
        member.weights + static_cast<size_t>(8 * tile + g) * p.hidden + 8 * q;
    const __nv_bfloat16* up = gate + static_cast<size_t>(member.width) * p.hidden;
    const __nv_bfloat16* columns[1] = {static_cast<const __nv_bfloat16*>(p.x) + 8 * q};
    float sums[1][4] = {};
    stream_weights(ring, gate, up, columns, p.hidden, sums, wait_for_router);
    if (q == 0) {
      static_cast<__nv_bfloat16*>(problem.scratch.inner)[m * problem.inner_stride + 8 * tile + g] =
          __float2bfloat16_rn(swiglu(sums[0][0], sums[0][2]));
    }
  }
  wait_for_router();
}

// A block computes 16 outputs, each warp the product of one member.
template <class Out>
__global__ __launch_bounds__(kMostMembers *
                             32) void down_kernel(const __grid_constant__ Problem problem) {
  extern __shared__ uint4 shared_memory[];
  __shared__ float products[kMostMembers][16];
  __shared__ int order[kMaxTopK];  // choices by rising expert ids; -1: not there
  const MoeExpertsParams& p = problem.p;
  auto& ring = reinterpret_cast<Ring<kDownSlots>*>(shared_memory)[threadIdx.x / 32];
  const int m = static_cast<int>(threadIdx.x) / 32;
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const int first_row = 16 * static_cast<int>(blockIdx.x);
  const bool has_high = first_row + 8 < p.hidden;
  const auto row_of = [&](const Member& member, int row) {
    return member.weights + static_cast<size_t>(first_row + row) * member.width;
  };
  let_next_kernel_start();
  // Only a guess, so it does no harm that the router's choice is read without waiting.
  constexpr uint32_t kPrefetchBytes = 1024;  // of a row
  const Member guess = member_of<false>(p, m);
  if (guess.width > 0 && lane < 16 && first_row + lane < p.hidden) {
    prefetch_to_l2(row_of(guess, lane),
                   min(kPrefetchBytes, 2u * static_cast<uint32_t>(guess.width)));
  }
  wait_for_previous_kernel();
  const Member member = member_of<false>(p, m);
  if (member.width > 0) {
    const __nv_bfloat16* low = row_of(member, g) + 8 * q;
    const __nv_bfloat16* high = low + (has_high ? size_t{8} * member.width : 0);
    const __nv_bfloat16* columns[1] = {static_cast<const __nv_bfloat16*>(problem.scratch.inner) +
                                       m * problem.inner_stride + 8 * q};
    float sums[1][4] = {};
    stream_weights(ring, low, high, columns, member.width, sums, [] {});
    if (q == 0) {
      products[m][g] = sums[0][0];
      products[m][g + 8] = sums[0][2];
    }
  }
  if (threadIdx.x < 32) {
    const int k = min(lane, p.top_k - 1);
    const int rank = rank_by_expert(p.expert_ids[k], p.top_k);
    if (lane < p.top_k) order[rank] = member_of<false>(p, k).width > 0 ? k : -1;
  }
  __syncthreads();
  const int row = first_row + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= 16 || row >= p.hidden) return;
  // As the kernel that combines the experts of more tokens.
  float sum = 0;
  for (int i = 0; i < p.top_k; ++i) {
    const int k = order[i];
    if (k >= 0) sum = fmaf(p.expert_weights[k], products[k][threadIdx.x], sum);
  }
  if (p.shared_width > 0) sum += products[p.top_k][threadIdx.x];
  static_cast<Out*>(p.out)[row] = from_float<Out>(sum);
}

template <class Out>
cudaError_t launch_down(const Problem& problem, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const int members = p.top_k + (p.shared_width > 0 ? 1 : 0);
  const size_t bytes = sizeof(Ring<kDownSlots>) * static_cast<size_t>(members);
  const auto kernel = down_kernel<Out>;
  if (const cudaError_t error =
          allow_shared_memory(kernel, sizeof(Ring<kDownSlots>) * kMostMembers);
      error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(ceil_div(p.hidden, 16))),
                 .block = dim3(static_cast<unsigned>(32 * members)),
                 .shared_bytes = bytes,
                 .overlap_previous = true},
                stream, problem);
}

}  // namespace

cudaError_t launch_single(const Problem& problem, cudaStream_t stream) {
  constexpr size_t kBytes = sizeof(Ring<kGateUpSlots>) * kWarps;
  if (const cudaError_t error = allow_shared_memory(gate_up_kernel, kBytes); error != cudaSuccess) {
    return error;
  }
  const MoeExpertsParams& p = problem.p;
  const int64_t items =
      (p.shared_width + int64_t{p.top_k} * std::max(p.text_width, p.vision_width)) / 8;
  const int64_t blocks = std::min<int64_t>(ceil_div(items, kWarps),
                                           int64_t{kBlocksPerMultiprocessor} * multiprocessors());
  const cudaError_t error = launch(gate_up_kernel,
                                   {.grid = dim3(static_cast<unsigned>(blocks)),
                                    .block = dim3(kWarps * 32),
                                    .shared_bytes = kBytes,
                                    .overlap_previous = true},
                                   stream, problem);
  if (error != cudaSuccess) return error;
  return p.out_type == ElementType::kBF16 ? launch_down<__nv_bfloat16>(problem, stream)
                                          : launch_down<float>(problem, stream);
}

}  // namespace ernie::kernels::moe
