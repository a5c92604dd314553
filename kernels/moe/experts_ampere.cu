#include <cuda_bf16.h>

#include "kernels/common/launch.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/moe/experts_groups.cuh"

// The expert MLP for many tokens on tensor cores of sm_80: tiles of kRows (token, expert) rows by
// 128 weight rows by 32 of k, four stages of cp.async, persistent blocks. k is added up in order,
// so a row's bits do not depend on the tile it is in.
//
// In the first product a tile's 128 weight rows are 64 gate rows and the 64 up rows that go with
// them, laid so that a lane's accumulators hold both factors of its activations.
namespace ernie::kernels::moe {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 128;  // weight rows of a tile
constexpr int kStep = 32;      // of k
constexpr int kStages = 4;
constexpr int kRowBytes = kStep * 2;

// 16-byte chunk `chunk` of a row of 4 chunks; chunks are exchanged so that 8 neighbouring rows use
// all banks.
__device__ __forceinline__ uint32_t swizzled(int row, int chunk) {
  return static_cast<uint32_t>(row * kRowBytes + ((chunk ^ ((row >> 1) & 3)) * 16));
}

template <int kRows>
constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;

// Warps stand 2 (rows) by 4 (columns); a warp's tile is kRows / 2 by 32.
template <bool kGateUp, int kRows>
__global__ __launch_bounds__(kThreads,
                             2) void ampere_kernel(const __grid_constant__ Problem problem) {
  constexpr int kRowTiles = kRows / 32;         // 16-row tiles of a warp
  constexpr int kRowLoads = kRows / 64;         // 16-byte loads of a thread for each stage
  constexpr int kOutputs = kGateUp ? 64 : 128;  // columns of the result a tile makes
  extern __shared__ uint4 shared_memory[];
  __shared__ GroupTable table;
  __shared__ int offsets[kMaxMoeExperts + 1];
  const MoeExpertsParams& p = problem.p;
  const uint32_t stages = shared_address(shared_memory);
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int warp_row = warp / 4;
  const int warp_column = warp % 4;
  const int groups = 1 + problem.experts;

  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int e = threadIdx.x; e <= problem.experts; e += kThreads) {
    offsets[e] = problem.scratch.offsets[e];
  }
  __syncthreads();
  if (warp == 0) {
    fill_table(table, groups, [&](int i) {
      const Group group = group_of(problem, offsets, i);
      const int outputs = kGateUp ? group.width : p.hidden;
      return (group.rows + kRows - 1) / kRows * ((outputs + kOutputs - 1) / kOutputs);
    });
  }
  __syncthreads();

  const int items = table.first[groups];
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    const int index = find_group(table, groups, item);
    const Group group = group_of(problem, offsets, index);
    // Row tiles run fastest: blocks at work at the same time share their weights in L2.
    const int row_tiles = (group.rows + kRows - 1) / kRows;
    const int first_row = (item - table.first[index]) % row_tiles * kRows;
    const int first_output = (item - table.first[index]) / row_tiles * kOutputs;
    const int k = kGateUp ? p.hidden : group.width;
    const int outputs = kGateUp ? group.width : p.hidden;

    // What this thread loads: chunk `chunk` of some rows of both operands, for each step.
    const int chunk = threadIdx.x % 4;
    const int load_row = threadIdx.x / 4;
    const __nv_bfloat16* row_from[kRowLoads];
    bool row_valid[kRowLoads];
#pragma unroll
    for (int i = 0; i < kRowLoads; ++i) {
      const int row = first_row + load_row + 64 * i;
      row_valid[i] = row < group.rows;
      const int at = group.first_row + (row_valid[i] ? row : 0);
      row_from[i] =
          chunk * 8 + (kGateUp ? static_cast<const __nv_bfloat16*>(p.x) +
                                     static_cast<size_t>(problem.scratch.row_token[at]) * p.hidden
                               : static_cast<const __nv_bfloat16*>(problem.scratch.inner) +
                                     static_cast<size_t>(at) * problem.inner_stride);
    }
    const auto* weights =
        static_cast<const __nv_bfloat16*>(kGateUp ? p.gate_up[group.expert] : p.down[group.expert]);
    const __nv_bfloat16* weight_from[2];
    bool weight_valid[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = load_row + 64 * i;
      int output = first_output + column;
      int weight_row = output;
      if constexpr (kGateUp) {  // each warp's 32 columns: 16 of gate, then their 16 of up
        output = first_output + column / 32 * 16 + column % 16;
        weight_row = output + (column % 32 < 16 ? 0 : group.width);
      }
      weight_valid[i] = output < outputs;
      weight_from[i] =
          weights + static_cast<size_t>(weight_valid[i] ? weight_row : 0) * k + chunk * 8;
    }
    const int steps = (k + kStep - 1) / kStep;
    const auto fetch = [&](int step) {
      if (step < steps) {
        const uint32_t stage = stages + static_cast<uint32_t>(step % kStages) * kStageBytes<kRows>;
        const int at = step * kStep;
        const bool in_k = at + chunk * 8 < k;
        const int from = in_k ? at : 0;
#pragma unroll
        for (int i = 0; i < kRowLoads; ++i) {
          copy16_async(stage + swizzled(load_row + 64 * i, chunk), row_from[i] + from,
                       in_k && row_valid[i]);
        }
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          copy16_async(stage + kRows * kRowBytes + swizzled(load_row + 64 * i, chunk),
                       weight_from[i] + from, in_k && weight_valid[i]);
        }
      }
      commit_copies();
    };

    float sums[kRowTiles][4][4] = {};
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) fetch(s);
    for (int step = 0; step < steps; ++step) {
      wait_for_copies<kStages - 2>();
      // The step's data is there for all, and nobody reads the stage that is filled next.
      __syncthreads();
      fetch(step + kStages - 1);
      const uint32_t rows = stages + static_cast<uint32_t>(step % kStages) * kStageBytes<kRows>;
      const uint32_t columns = rows + kRows * kRowBytes;
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // 16 of k each
        uint32_t b[2][4];  // tiles (2i, low k), (2i, high k), (2i + 1, low k), (2i + 1, high k)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          load_matrices(b[i],
                        columns + swizzled(warp_column * 32 + 16 * i + lane / 16 * 8 + lane % 8,
                                           2 * half + lane / 8 % 2));
        }
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t) {
          uint32_t a[4];
          load_matrices(a, rows + swizzled(warp_row * (kRows / 2) + 16 * t + lane % 16,
                                           2 * half + lane / 16));
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            multiply_add(sums[t][n], a[0], a[1], a[2], a[3], b[n / 2][n % 2 * 2],
                         b[n / 2][n % 2 * 2 + 1]);
          }
        }
      }
    }
    wait_for_copies<0>();
    __syncthreads();  // before the next tile's loads

    const int g = lane / 4;
    const int q = lane % 4;
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + warp_row * (kRows / 2) + 16 * t + 8 * half + g;
        if (row >= group.rows) continue;
        const size_t at = static_cast<size_t>(group.first_row + row);
        if constexpr (kGateUp) {
          auto* inner =
              static_cast<__nv_bfloat16*>(problem.scratch.inner) + at * problem.inner_stride;
#pragma unroll
          for (int n = 0; n < 2; ++n) {
            const int output = first_output + warp_column * 16 + 8 * n + 2 * q;
            if (output >= outputs) continue;
            *reinterpret_cast<uint32_t*>(inner + output) =
                pack_bf16(swiglu(sums[t][n][2 * half], sums[t][n + 2][2 * half]),
                          swiglu(sums[t][n][2 * half + 1], sums[t][n + 2][2 * half + 1]));
          }
        } else {
          float* result = problem.scratch.result + at * p.hidden;
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            const int output = first_output + warp_column * 32 + 8 * n + 2 * q;
            if (output >= outputs) continue;
            *reinterpret_cast<float2*>(result + output) =
                make_float2(sums[t][n][2 * half], sums[t][n][2 * half + 1]);
          }
        }
      }
    }
  }
}

template <bool kGateUp, int kRows>
cudaError_t launch_product(const Problem& problem, cudaStream_t stream) {
  constexpr size_t kSharedBytes = size_t{kStages} * kStageBytes<kRows>;
  const auto kernel = ampere_kernel<kGateUp, kRows>;
  if (const cudaError_t error = allow_shared_memory(kernel, kSharedBytes); error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(2 * multiprocessors())),
                 .block = dim3(kThreads),
                 .shared_bytes = kSharedBytes,
                 .overlap_previous = true},
                stream, problem);
}

template <int kRows>
cudaError_t launch_both(const Problem& problem, cudaStream_t stream) {
  return first_error({launch_product<true, kRows>(problem, stream),
                      launch_product<false, kRows>(problem, stream)});
}

}  // namespace

cudaError_t launch_ampere(const Problem& problem, cudaStream_t stream) {
  // With few rows for each expert, low tiles waste less. The number of active experts is not known
  // here; all of a modality is the likely case.
  const int64_t pairs = int64_t{problem.p.tokens} * problem.p.top_k;
  if (pairs < int64_t{96} * problem.p.text_experts) return launch_both<64>(problem, stream);
  return launch_both<128>(problem, stream);
}

}  // namespace ernie::kernels::moe
