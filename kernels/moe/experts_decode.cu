#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/weight_stream.cuh"

// The expert MLP for few tokens: time is the reading of the weights. Work is cut into items of 16
// weight rows over all of k; each warp takes items on its own, without barriers. An item serves all
// tokens of its expert, so weights are read once.
namespace ernie::kernels::moe {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kBlocksPerMultiprocessor = 3;

// Chunks under way, 1 KB each. With few tokens there may be few items for each multiprocessor, and
// each must keep more under way; with more, L1 has better use for the memory.
template <int kMaxTiles>
constexpr int kDepth = kMaxTiles == 1 ? 16 : 8;

struct Tables {
  PairSorter<kThreads> sorter;
  int row_token[kMaxDecodeTokens * 8];
  GroupTable groups;
};

// One item of the first product: 8 gate rows over the 8 up rows that go with them, so that a lane
// ends up with both factors of its activations.
template <int kTiles, int kSlots>
__device__ __forceinline__ void gate_up_item(const Problem& problem, const int* row_token,
                                             Ring<kSlots>& ring, const Group& group, int tile) {
  const MoeExpertsParams& p = problem.p;
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const int shared_row = p.tokens * p.top_k;
  const auto* weights = static_cast<const __nv_bfloat16*>(p.gate_up[group.expert]);
  const __nv_bfloat16* gate = weights + static_cast<size_t>(8 * tile + g) * p.hidden + 8 * q;
  const __nv_bfloat16* up = gate + static_cast<size_t>(group.width) * p.hidden;
  const __nv_bfloat16* columns[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int row = group.first_row + min(8 * i + g, group.rows - 1);
    const int token = row < shared_row ? row_token[row] : row - shared_row;
    columns[i] =
        static_cast<const __nv_bfloat16*>(p.x) + static_cast<size_t>(token) * p.hidden + 8 * q;
  }
  float sums[kTiles][4] = {};
  stream_weights(ring, gate, up, columns, p.hidden, sums);
  auto* inner = static_cast<__nv_bfloat16*>(problem.scratch.inner) +
                static_cast<size_t>(group.first_row) * problem.inner_stride + 8 * tile + g;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int row = 8 * i + 2 * q + j;
      if (row < group.rows) {
        inner[static_cast<size_t>(row) * problem.inner_stride] =
            __float2bfloat16_rn(swiglu(sums[i][j], sums[i][2 + j]));
      }
    }
  }
}

// One item of the second product: 16 rows of down.
template <int kTiles, int kSlots>
__device__ __forceinline__ void down_item(const Problem& problem, const int*, Ring<kSlots>& ring,
                                          const Group& group, int tile) {
  const MoeExpertsParams& p = problem.p;
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const bool has_high = 16 * tile + 8 < p.hidden;
  const __nv_bfloat16* low = static_cast<const __nv_bfloat16*>(p.down[group.expert]) +
                             static_cast<size_t>(16 * tile + g) * group.width + 8 * q;
  const __nv_bfloat16* high = low + (has_high ? size_t{8} * group.width : 0);
  const __nv_bfloat16* columns[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int row = group.first_row + min(8 * i + g, group.rows - 1);
    columns[i] = static_cast<const __nv_bfloat16*>(problem.scratch.inner) +
                 static_cast<size_t>(row) * problem.inner_stride + 8 * q;
  }
  float sums[kTiles][4] = {};
  stream_weights(ring, low, high, columns, group.width, sums);
  float* result =
      problem.scratch.result + static_cast<size_t>(group.first_row) * p.hidden + 16 * tile + g;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int row = 8 * i + 2 * q + j;
      if (row >= group.rows) continue;
      result[static_cast<size_t>(row) * p.hidden] = sums[i][j];
      if (has_high) result[static_cast<size_t>(row) * p.hidden + 8] = sums[i][2 + j];
    }
  }
}

// kMaxTiles tiles of 8 tokens hold the step's tokens, so no expert has more.
template <bool kGateUp, int kMaxTiles>
__global__ __launch_bounds__(kThreads, kBlocksPerMultiprocessor) void decode_kernel(
    const __grid_constant__ Problem problem) {
  extern __shared__ uint4 shared_memory[];
  __shared__ Tables tables;
  const MoeExpertsParams& p = problem.p;
  auto& ring = reinterpret_cast<Ring<kDepth<kMaxTiles>>*>(shared_memory)[threadIdx.x / 32];
  const int groups = 1 + problem.experts;
  let_next_kernel_start();
  wait_for_previous_kernel();
  int* offsets = tables.sorter.offsets;
  if constexpr (kGateUp) {
    const bool writes = blockIdx.x == 0;
    const int pairs = p.tokens * p.top_k;
    if (writes) {
      for (int i = threadIdx.x; i < pairs; i += kThreads) problem.scratch.pair_row[i] = -1;
      __syncthreads();
    }
    sort_pairs<kThreads>(tables.sorter, p.expert_ids, pairs, problem.experts,
                         [&](int pair, int row) {
                           tables.row_token[row] = pair / p.top_k;
                           if (writes) problem.scratch.pair_row[pair] = row;
                         });
    if (writes) {
      for (int e = threadIdx.x; e <= problem.experts; e += kThreads) {
        problem.scratch.offsets[e] = offsets[e];
      }
    }
  } else {
    for (int e = threadIdx.x; e <= problem.experts; e += kThreads) {
      offsets[e] = problem.scratch.offsets[e];
    }
    __syncthreads();
  }
  if (threadIdx.x < 32) {
    fill_table(tables.groups, groups, [&](int i) {
      const Group group = group_of(problem, offsets, i);
      if (group.rows == 0) return 0;
      return kGateUp ? group.width / 8 : (p.hidden + 15) / 16;
    });
  }
  __syncthreads();

  const int items = tables.groups.first[groups];
  for (int item = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
       item < items; item += static_cast<int>(gridDim.x) * kWarps) {
    const int index = find_group(tables.groups, groups, item);
    const Group group = group_of(problem, offsets, index);
    const int tile = item - tables.groups.first[index];
    const auto run = [&]<int kTiles>() {
      if constexpr (kGateUp) {
        gate_up_item<kTiles>(problem, tables.row_token, ring, group, tile);
      } else {
        down_item<kTiles>(problem, tables.row_token, ring, group, tile);
      }
    };
    if (kMaxTiles == 1 || group.rows <= 8) {
      run.template operator()<1>();
    } else if (kMaxTiles == 2 || group.rows <= 16) {
      run.template operator() < kMaxTiles<2 ? kMaxTiles : 2>();
    } else if (kMaxTiles == 4 || group.rows <= 32) {
      run.template operator() < kMaxTiles<4 ? kMaxTiles : 4>();
    } else {
      run.template operator()<kMaxTiles>();
    }
  }
}

template <bool kGateUp, int kMaxTiles>
cudaError_t launch_product(const Problem& problem, cudaStream_t stream) {
  constexpr size_t kSharedBytes = sizeof(Ring<kDepth<kMaxTiles>>) * kWarps;
  const auto kernel = decode_kernel<kGateUp, kMaxTiles>;
  if (const cudaError_t error = allow_shared_memory(kernel, kSharedBytes); error != cudaSuccess) {
    return error;
  }
  const MoeExpertsParams& p = problem.p;
  // No more blocks than there can be items.
  const int64_t experts = std::min<int64_t>(int64_t{p.tokens} * p.top_k, problem.experts);
  const int64_t items =
      kGateUp ? experts * (std::max(p.text_width, p.vision_width) / 8) + p.shared_width / 8
              : (experts + (p.shared_width > 0 ? 1 : 0)) * ceil_div(p.hidden, 16);
  const int64_t blocks = std::min<int64_t>(ceil_div(items, kWarps),
                                           int64_t{kBlocksPerMultiprocessor} * multiprocessors());
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(blocks)),
                 .block = dim3(kThreads),
                 .shared_bytes = kSharedBytes,
                 .overlap_previous = true},
                stream, problem);
}

template <int kMaxTiles>
cudaError_t launch_both(const Problem& problem, cudaStream_t stream) {
  if (const cudaError_t error = launch_product<true, kMaxTiles>(problem, stream);
      error != cudaSuccess) {
    return error;
  }
  return launch_product<false, kMaxTiles>(problem, stream);
}

}  // namespace

cudaError_t launch_decode(const Problem& problem, cudaStream_t stream) {
  const int tokens = problem.p.tokens;
  if (tokens <= 8) return launch_both<1>(problem, stream);
  if (tokens <= 16) return launch_both<2>(problem, stream);
  if (tokens <= 32) return launch_both<4>(problem, stream);
  return launch_both<8>(problem, stream);
}

}  // namespace ernie::kernels::moe
