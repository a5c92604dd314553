#include <cuda.h>
#include <cuda_bf16.h>

#include <cstring>

#include "kernels/common/hopper.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/moe/experts_groups.cuh"

// The expert MLP for many tokens on sm_90a: tiles of 128 (token, expert) rows by 256 weight rows by
// 64 of k. One warpgroup fetches: weights by TMA, rows, which lie apart, by cp.async. Two multiply,
// 64 rows each. The next tile's data is fetched while one is written out. k is added up in order,
// so a row's bits do not depend on the tile it is in.
//
// In the first product a tile's 256 weight rows are 128 gate rows and the 128 up rows that go with
// them, so that a thread's sums hold both factors of its activations.
namespace ernie::kernels::moe {
namespace {

constexpr int kGroupThreads = 128;  // a warpgroup
constexpr int kThreads = 3 * kGroupThreads;
constexpr int kRows = 128;
constexpr int kColumns = 256;  // weight rows
constexpr int kBoxRows = 128;  // of a weight map's box
constexpr int kStep = 64;      // of k
constexpr int kStages = 4;
constexpr int kRowBytes = kStep * 2;
constexpr uint32_t kRowsBytes = kRows * kRowBytes;
constexpr uint32_t kColumnsBytes = kColumns * kRowBytes;
constexpr uint32_t kStageBytes = kRowsBytes + kColumnsBytes;
constexpr size_t kAlignment = 1024;  // of matrix operands
constexpr size_t kSharedBytes = kStages * kStageBytes + kAlignment;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Registers of the warpgroups' threads: 128 * 72 + 256 * 216 of 384 * 168.
constexpr int kFetchRegisters = 72;
constexpr int kMultiplyRegisters = 216;

struct Tile {
  Group group;
  int first_row;     // in the group
  int first_output;  // column of the result
};

template <bool kGateUp>
constexpr int kOutputs = kGateUp ? kColumns / 2 : kColumns;

// What all roles of a block agree on.
struct Shared {
  GroupTable table;
  int offsets[kMaxMoeExperts + 1];
  alignas(8) uint64_t full[kStages];   // 128 fetching threads and one for the weights
  alignas(8) uint64_t empty[kStages];  // the 8 multiplying warps
};

template <bool kGateUp>
__device__ __forceinline__ Tile tile_of(const Problem& problem, const Shared& shared, int item) {
  const int index = find_group(shared.table, 1 + problem.experts, item);
  Tile tile;
  tile.group = group_of(problem, shared.offsets, index);
  // Row tiles run fastest: blocks at work at the same time share their weights in L2.
  const int row_tiles = (tile.group.rows + kRows - 1) / kRows;
  const int at = item - shared.table.first[index];
  tile.first_row = at % row_tiles * kRows;
  tile.first_output = at / row_tiles * kOutputs<kGateUp>;
  return tile;
}

template <bool kGateUp>
__device__ __forceinline__ void fetch_tiles(const Problem& problem, Shared& shared,
                                            uint32_t stages) {
  // A stage's rows are announced only when this many later stages have been asked for: a thread
  // must wait for its own copies before it publishes them.
  constexpr int kLag = 2;
  constexpr int kLoads = kRows * kRowBytes / 16 / kGroupThreads;
  constexpr int kRowsApart = kGroupThreads / 8;
  const MoeExpertsParams& p = problem.p;
  const int chunk = threadIdx.x % 8;
  const int load_row = threadIdx.x / 8;
  const uint32_t to = load_row * kRowBytes + (chunk ^ (load_row % 8)) * 16;
  const auto* source = static_cast<const __nv_bfloat16*>(kGateUp ? p.x : problem.scratch.inner);
  const uint32_t stride = kGateUp ? p.hidden : problem.inner_stride;
  const int items = shared.table.first[1 + problem.experts];
  RingPosition position;
  uint32_t announce = 0;  // the stage to announce next
  int unannounced = 0;
  const auto announce_one = [&] {
    publish_to_async_proxy();
    arrive(barrier_of(shared.full, announce));
    announce = (announce + 1) % kStages;
  };
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    const Tile tile = tile_of<kGateUp>(problem, shared, item);
    const int k = kGateUp ? p.hidden : tile.group.width;
    const MoeWeightMap* map = p.weight_maps + 2 * tile.group.expert + (kGateUp ? 0 : 1);
    if (threadIdx.x == 0) acquire_tensor_map(map);
    const int rows = tile.group.rows - tile.first_row;  // in this tile and behind
    uint32_t row[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int at = load_row + i * kRowsApart;
      row[i] = tile.group.first_row + tile.first_row + (at < rows ? at : 0);
      if constexpr (kGateUp) row[i] = problem.scratch.row_token[row[i]];
    }
    for (int from = 0; from < k; from += kStep) {
      const uint32_t stage = stages + position.stage * kStageBytes;
      wait_for_phase(barrier_of(shared.empty, position.stage), position.parity ^ 1);
      if (threadIdx.x == 0) {
        const uint32_t barrier = barrier_of(shared.full, position.stage);
        arrive_and_expect(barrier, kColumnsBytes);
        copy_box(stage + kRowsBytes, map, from, tile.first_output, barrier);
        copy_box(stage + kRowsBytes + kColumnsBytes / 2, map, from,
                 tile.first_output + (kGateUp ? tile.group.width : kBoxRows), barrier);
      }
      const bool in_k = from + chunk * 8 < k;
      const uint32_t column = in_k ? from + chunk * 8 : 0;
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        // Rows of the tile that do not exist hold what was there before: nobody reads their sums.
        if (load_row + i * kRowsApart < rows) {
          copy16_async(stage + to + i * kRowsApart * kRowBytes,
                       source + uint64_t{row[i]} * stride + column, in_k);
        }
      }
      commit_copies();
      position.advance(kStages);
      if (++unannounced > kLag) {
        wait_for_copies<kLag>();
        announce_one();
        --unannounced;
      }
    }
    // The rest of the tile at once: finding the next tile's rows takes a while.
    wait_for_copies<0>();
    for (; unannounced > 0; --unannounced) announce_one();
  }
}

// Lane q of four holds columns 2q and 2q + 1 of the tiles a and b. The result is 4 neighbouring
// columns from 4 (q % 2) on: of a in lanes 0 and 1, of b in lanes 2 and 3.
__device__ __forceinline__ uint2 four_neighbours(uint32_t a, uint32_t b, int q) {
  const bool first = q < 2;
  const bool even = q % 2 == 0;
  const uint32_t kept = first ? a : b;
  const uint32_t got = __shfl_xor_sync(kAllLanes, first ? b : a, 2);
  const uint32_t low = first ? kept : got;   // columns 2 (q % 2) ..
  const uint32_t high = first ? got : kept;  // columns 2 (q % 2) + 4 ..
  const uint32_t other = __shfl_xor_sync(kAllLanes, even ? high : low, 1);
  return even ? make_uint2(low, other) : make_uint2(other, high);
}

template <bool kGateUp>
__device__ __forceinline__ void write_sums(const Problem& problem, const Tile& tile,
                                           const float (&sums)[128], int row_in_tile) {
  const MoeExpertsParams& p = problem.p;
  const int q = threadIdx.x % 4;
  const int outputs = kGateUp ? tile.group.width : p.hidden;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = tile.first_row + row_in_tile + 8 * half;
    const bool valid = row < tile.group.rows;
    const size_t at = static_cast<size_t>(tile.group.first_row + row);
    if constexpr (kGateUp) {
      auto* inner = static_cast<__nv_bfloat16*>(problem.scratch.inner) + at * problem.inner_stride;
#pragma unroll
      for (int j = 0; j < 16; j += 2) {
        uint32_t packed[2];
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          const int gate = 4 * (j + n) + 2 * half;
          packed[n] = pack_bf16(swiglu(sums[gate], sums[gate + 64]),
                                swiglu(sums[gate + 1], sums[gate + 65]));
        }
        const uint2 four = four_neighbours(packed[0], packed[1], q);
        const int output = tile.first_output + 8 * (j + q / 2) + 4 * (q % 2);
        if (valid && output < outputs) *reinterpret_cast<uint2*>(inner + output) = four;
      }
    } else {
      float* result = problem.scratch.result + at * p.hidden;
#pragma unroll
      for (int j = 0; j < 32; ++j) {
        const int output = tile.first_output + 8 * j + 2 * q;
        if (valid && output < outputs) {
          *reinterpret_cast<float2*>(result + output) =
              make_float2(sums[4 * j + 2 * half], sums[4 * j + 2 * half + 1]);
        }
      }
    }
  }
}

template <bool kGateUp>
__device__ __forceinline__ void multiply_tiles(const Problem& problem, Shared& shared,
                                               uint32_t stages) {
  const MoeExpertsParams& p = problem.p;
  const int half = threadIdx.x / kGroupThreads - 1;  // of the tile's rows
  const int warp = threadIdx.x % kGroupThreads / 32;
  const int lane = threadIdx.x % 32;
  const int items = shared.table.first[1 + problem.experts];
  RingPosition position;
  for (int item = static_cast<int>(blockIdx.x); item < items; item += static_cast<int>(gridDim.x)) {
    const Tile tile = tile_of<kGateUp>(problem, shared, item);
    const int k = kGateUp ? p.hidden : tile.group.width;
    if (tile.first_row + 64 * half >= tile.group.rows) {  // nothing but rows that do not exist
      for (int from = 0; from < k; from += kStep) {
        wait_for_phase(barrier_of(shared.full, position.stage), position.parity);
        // A lane that still looked after the stage was given back could miss its phase: the next
        // one of the same parity looks alike. (Where there are products, they keep lanes together.)
        __syncwarp();
        if (lane == 0) arrive(barrier_of(shared.empty, position.stage));
        position.advance(kStages);
      }
      continue;
    }
    float sums[128];
#pragma unroll
    for (float& sum : sums) sum = 0;
    uint32_t previous = 0;
    for (int from = 0; from < k; from += kStep) {
      wait_for_phase(barrier_of(shared.full, position.stage), position.parity);
      const uint32_t stage = stages + position.stage * kStageBytes;
      const uint64_t a = matrix_descriptor(stage + half * (kRowsBytes / 2));
      const uint64_t b = matrix_descriptor(stage + kRowsBytes);
      pin(sums);
      begin_products();
#pragma unroll
      for (int i = 0; i < kStep / 16; ++i) multiply_64x256x16(sums, a + 2 * i, b + 2 * i, true);
      commit_products();
      pin(sums);
      wait_for_products<1>();  // the previous stage has been read
      if (from > 0 && lane == 0) arrive(barrier_of(shared.empty, previous));
      previous = position.stage;
      position.advance(kStages);
    }
    wait_for_products<0>();
    pin(sums);
    if (lane == 0) arrive(barrier_of(shared.empty, previous));
    write_sums<kGateUp>(problem, tile, sums, 64 * half + 16 * warp + lane / 4);
  }
}

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

template <bool kGateUp>
__global__ __launch_bounds__(kThreads,
                             1) void hopper_kernel(const __grid_constant__ Problem problem) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ unsigned char shared_memory[];
  __shared__ Shared shared;
  const uint32_t base = shared_address(shared_memory);
  const uint32_t stages = (base + kAlignment - 1) / kAlignment * kAlignment;
  const int groups = 1 + problem.experts;
  if (threadIdx.x == 0) {
    for (uint32_t s = 0; s < kStages; ++s) {
      init_barrier(barrier_of(shared.full, s), kGroupThreads + 1);
      init_barrier(barrier_of(shared.empty, s), 2 * kGroupThreads / 32);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    publish_to_async_proxy();
  }
  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int e = threadIdx.x; e <= problem.experts; e += kThreads) {
    shared.offsets[e] = problem.scratch.offsets[e];
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    fill_table(shared.table, groups, [&](int i) {
      const Group group = group_of(problem, shared.offsets, i);
      const int outputs = kGateUp ? group.width : problem.p.hidden;
      return (group.rows + kRows - 1) / kRows *
             ((outputs + kOutputs<kGateUp> - 1) / kOutputs<kGateUp>);
    });
  }
  __syncthreads();
  if (threadIdx.x < kGroupThreads) {
    give_up_registers<kFetchRegisters>();
    fetch_tiles<kGateUp>(problem, shared, stages);
  } else {
    take_registers<kMultiplyRegisters>();
    multiply_tiles<kGateUp>(problem, shared, stages);
  }
#endif
}

template <bool kGateUp>
cudaError_t launch_product(const Problem& problem, cudaStream_t stream) {
  const auto kernel = hopper_kernel<kGateUp>;
  if (const cudaError_t error = allow_shared_memory(kernel, kSharedBytes); error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(multiprocessors())),
                 .block = dim3(kThreads),
                 .shared_bytes = kSharedBytes,
                 .overlap_previous = true},
                stream, problem);
}

}  // namespace

cudaError_t launch_hopper(const Problem& problem, cudaStream_t stream) {
  return first_error(
      {launch_product<true>(problem, stream), launch_product<false>(problem, stream)});
}

}  // namespace ernie::kernels::moe

namespace ernie::kernels {

cudaError_t encode_moe_weight_map(const void* weight, int64_t rows, int64_t cols,
                                  MoeWeightMap* map) {
  static_assert(sizeof(MoeWeightMap) == sizeof(CUtensorMap) &&
                alignof(MoeWeightMap) >= alignof(CUtensorMap));
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                             12000, cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (found != cudaDriverEntryPointSuccess) return cudaErrorNotSupported;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(cols) * 2};
  const cuuint32_t box[2] = {moe::kStep, moe::kBoxRows};
  const cuuint32_t steps[2] = {1, 1};
  CUtensorMap encoded{};
  // What lies outside the matrix is read as zeros.
  const CUresult result = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function)(
      &encoded, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(weight), sizes, strides, box,
      steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) return cudaErrorInvalidValue;
  std::memcpy(map->bytes, &encoded, sizeof(encoded));
  return cudaSuccess;
}

}  // namespace ernie::kernels
