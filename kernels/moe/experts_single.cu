#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/router_parts.cuh"
#include "kernels/moe/weight_stream.cuh"

// The expert MLP of one token, with the bits of launch_decode: nothing is sorted, and the blocks of
// the second product add up the experts themselves. Before the kernels wait for their predecessors
// they ask for weights: of the shared expert, and of those that the router is known to have chosen.
//
// The router can be part of it: then the first blocks of the first product route, with the bits of
// launch_moe_router, while the others read the shared expert, and a flag tells that they are done.
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

// The matrices of all experts; filled before the kernel waits, since they never change.
struct Matrices {
  const void* of_expert[kMaxMoeExperts + 1];
};
__device__ __forceinline__ void fill(Matrices& matrices, const void* const* from, int count) {
  for (int e = threadIdx.x; e < count; e += blockDim.x) matrices.of_expert[e] = from[e];
  __syncthreads();
}

// Member m < top_k is the token's choice m, member top_k the shared expert. Width 0: not there.
__device__ __forceinline__ Member member_of(const MoeExpertsParams& p, const Matrices& matrices,
                                            int m) {
  const int experts = p.text_experts + p.vision_experts;
  int expert = experts;
  int width = p.shared_width;
  if (m < p.top_k) {
    expert = __ldcg(p.expert_ids + m);
    if (static_cast<unsigned>(expert) >= static_cast<unsigned>(experts)) return {nullptr, 0};
    width = width_of(p, expert);
  }
  if (width == 0) return {nullptr, 0};
  return {static_cast<const __nv_bfloat16*>(matrices.of_expert[expert]), width};
}

__device__ __forceinline__ uint32_t load_acquire(const uint32_t* p) {
  uint32_t x;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
  return x;
}

constexpr int kRouterExperts = 8;  // of a block that routes

int router_blocks(const MoeRouterParams& r) {
  const int most = std::max(r.experts[0], r.any_vision ? r.experts[1] : 0);
  return (most + kRouterExperts - 1) / kRouterExperts;
}
__device__ __forceinline__ uint32_t* routed_flag(const MoeRouterParams& r) {
  return r.arrivals + 1;
}

// With block blockIdx.x of the first `blocks`. The one that is the last to write its logits
// chooses.
__device__ void route(const MoeRouterParams& r, int blocks) {
  using router::kChunk;
  using router::kSlices;
  __shared__ float partial[kSlices][kRouterExperts];
  __shared__ bool is_last;
  const int first_expert = kRouterExperts * static_cast<int>(blockIdx.x);
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  for (int m = 0; m < (r.any_vision ? 2 : 1); ++m) {
    const int expert = first_expert + static_cast<int>(threadIdx.x);
    if (threadIdx.x < kRouterExperts && expert < r.experts[m]) {
      prefetch_to_l2(r.router[m] + static_cast<size_t>(expert) * r.hidden,
                     static_cast<uint32_t>(r.hidden) * 4);
    }
  }
  const router::Biases biases = router::load_biases(r);
  wait_for_previous_kernel();
  const int modality = r.any_vision && r.is_vision[0] != 0 ? 1 : 0;
  const int experts = r.experts[modality];
  if (first_expert < experts) {
    const int row = min(first_expert + g, experts - 1);
    const float* weights = r.router[modality] + static_cast<size_t>(row) * r.hidden + 8 * q;
    const auto* x = static_cast<const __nv_bfloat16*>(r.x) + 8 * q;
    const int chunks = (r.hidden + kChunk - 1) / kChunk;
    for (int s = warp; s < kSlices; s += kWarps) {
      float sums[1][1][4] = {};
#pragma unroll 5
      for (int c = s * chunks / kSlices; c < (s + 1) * chunks / kSlices; ++c) {
        const bool valid = c * kChunk + 8 * q < r.hidden;
        const router::Parts<1> token = router::load_parts(x + c * kChunk, valid);
        const router::Parts<1> a[1][2] = {{token, token}};
        router::multiply_chunk<__nv_bfloat16>(
            sums, a, [&](int) { return router::load_parts(weights + c * kChunk, valid); });
      }
      if (g == 0) {
        partial[s][2 * q] = sums[0][0][0];
        partial[s][2 * q + 1] = sums[0][0][1];
      }
    }
    __syncthreads();
    const int expert = first_expert + static_cast<int>(threadIdx.x);
    if (threadIdx.x < kRouterExperts && expert < experts) {
      float sum = 0;
#pragma unroll
      for (int s = 0; s < kSlices; ++s) sum += partial[s][threadIdx.x];
      __stcg(r.logits + expert, sum);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    is_last = atomicAdd(r.arrivals, 1u) == static_cast<uint32_t>(blocks) - 1;
    if (is_last) *r.arrivals = 0;
    __threadfence();
  }
  __syncthreads();
  if (!is_last || warp != 0) return;
  router::choose_experts<__nv_bfloat16>(r, biases, 0, modality,
                                        [&](int expert) { return __ldcg(r.logits + expert); });
  __syncwarp();
  if (lane == 0) {
    __threadfence();
    *static_cast<volatile uint32_t*>(routed_flag(r)) = 1;
  }
}

// Each warp takes items of 8 gate and 8 up rows, those of the shared expert first.
template <bool kRoutes>
__global__ __launch_bounds__(kWarps * 32, kBlocksPerMultiprocessor) void gate_up_kernel(
    const __grid_constant__ Problem problem, const __grid_constant__ MoeRouterParams r,
    int router_count) {
  extern __shared__ uint4 shared_memory[];
  if (kRoutes && static_cast<int>(blockIdx.x) < router_count) {
    route(r, router_count);
    return;
  }
  __shared__ Matrices matrices;
  const MoeExpertsParams& p = problem.p;
  const int experts = problem.experts + (p.shared_width > 0 ? 1 : 0);
  fill(matrices, p.gate_up, experts);
  auto& ring = reinterpret_cast<Ring<kGateUpSlots>*>(shared_memory)[threadIdx.x / 32];
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const int shared_items = p.shared_width / 8;
  const int widest =
      max(p.text_experts > 0 ? p.text_width : 0, p.vision_experts > 0 ? p.vision_width : 0);
  const int items = shared_items + p.top_k * (widest / 8);
  // The next kernel looks up what the router chose before it waits, so it must not start earlier.
  const auto wait_for_routes = [&] {
    wait_for_previous_kernel();
    if constexpr (kRoutes) {
      while (load_acquire(routed_flag(r)) == 0) {
      }
    }
    let_next_kernel_start();
  };
  const int block = static_cast<int>(blockIdx.x) - router_count;
  const int blocks = static_cast<int>(gridDim.x) - router_count;
  for (int item = block * kWarps + static_cast<int>(threadIdx.x) / 32; item < items;
       item += blocks * kWarps) {
    const bool shared = item < shared_items;
    if (!shared) wait_for_routes();
    const int m = shared ? p.top_k : (item - shared_items) % p.top_k;
    const int tile = shared ? item : (item - shared_items) / p.top_k;
    const Member member = member_of(p, matrices, m);
    if (8 * tile >= member.width) continue;
    const __nv_bfloat16* gate =
        member.weights + static_cast<size_t>(8 * tile + g) * p.hidden + 8 * q;
    const __nv_bfloat16* up = gate + static_cast<size_t>(member.width) * p.hidden;
    const __nv_bfloat16* columns[1] = {static_cast<const __nv_bfloat16*>(p.x) + 8 * q};
    float sums[1][4] = {};
    stream_weights(ring, gate, up, columns, p.hidden, sums, [] { wait_for_previous_kernel(); });
    if (q == 0) {
      static_cast<__nv_bfloat16*>(problem.scratch.inner)[m * problem.inner_stride + 8 * tile + g] =
          __float2bfloat16_rn(swiglu(sums[0][0], sums[0][2]));
    }
  }
  wait_for_previous_kernel();
}

// A block computes 16 outputs, each warp the product of one member. `routed` is the flag that the
// first product has waited for, if it routed.
template <class Out>
__global__ __launch_bounds__(kMostMembers *
                             32) void down_kernel(const __grid_constant__ Problem problem,
                                                  uint32_t* routed) {
  extern __shared__ uint4 shared_memory[];
  __shared__ float products[kMostMembers][16];
  __shared__ Matrices matrices;
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
  fill(matrices, p.down, problem.experts + (p.shared_width > 0 ? 1 : 0));
  // Only a guess, so it does no harm that the router's choice is read without waiting.
  constexpr uint32_t kPrefetchBytes = 1024;  // of a row
  const Member guess = member_of(p, matrices, m);
  if (guess.width > 0 && lane < 16 && first_row + lane < p.hidden) {
    prefetch_to_l2(row_of(guess, lane),
                   min(kPrefetchBytes, 2u * static_cast<uint32_t>(guess.width)));
  }
  wait_for_previous_kernel();
  if (routed != nullptr && blockIdx.x == 0 && threadIdx.x == 0) *routed = 0;
  const Member member = member_of(p, matrices, m);
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
    const int id = p.expert_ids[k];
    int rank = 0;
    for (int other = 0; other < p.top_k; ++other) {
      const int other_id = __shfl_sync(kAllLanes, id, other);
      rank += other_id < id || (other_id == id && other < k) ? 1 : 0;
    }
    if (lane < p.top_k) order[rank] = member_of(p, matrices, k).width > 0 ? k : -1;
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
cudaError_t launch_down(const Problem& problem, uint32_t* routed, cudaStream_t stream) {
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
                stream, problem, routed);
}

}  // namespace

cudaError_t launch_single(const Problem& problem, const MoeRouterParams* router,
                          cudaStream_t stream) {
  constexpr size_t kBytes = sizeof(Ring<kGateUpSlots>) * kWarps;
  const auto kernel = router != nullptr ? gate_up_kernel<true> : gate_up_kernel<false>;
  if (const cudaError_t error = allow_shared_memory(kernel, kBytes); error != cudaSuccess) {
    return error;
  }
  const MoeExpertsParams& p = problem.p;
  const int routing = router != nullptr ? router_blocks(*router) : 0;
  const int64_t items =
      (p.shared_width + int64_t{p.top_k} * std::max(p.text_width, p.vision_width)) / 8;
  const int64_t blocks = std::min<int64_t>(
      ceil_div(items, kWarps), int64_t{kBlocksPerMultiprocessor} * multiprocessors() - routing);
  const cudaError_t error =
      launch(kernel,
             {.grid = dim3(static_cast<unsigned>(routing + blocks)),
              .block = dim3(kWarps * 32),
              .shared_bytes = kBytes,
              .overlap_previous = true},
             stream, problem, router != nullptr ? *router : MoeRouterParams{}, routing);
  if (error != cudaSuccess) return error;
  uint32_t* routed = router != nullptr ? router->arrivals + 1 : nullptr;
  return p.out_type == ElementType::kBF16 ? launch_down<__nv_bfloat16>(problem, routed, stream)
                                          : launch_down<float>(problem, routed, stream);
}

}  // namespace ernie::kernels::moe
