#include <algorithm>

#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/quantized_hopper.cuh"
#include "kernels/quantized/quantized.cuh"

// The expert MLP with quantised weights for many tokens on sm_90a: both products as tiles of all
// experts, shared out among persistent blocks.
namespace ernie::kernels::moe {
namespace {

using quantized::Output;
using quantized::Ring;
using quantized::Tile;

template <bool kGateUp>
constexpr Output kOutput = kGateUp ? Output::kSwiglu : Output::kFloat;

// The groups in the order in which they are done, that of their variants, and the items before
// each.
struct GroupOrder {
  GroupTable table;
  uint16_t group[kMaxMoeExperts + 1];
};

template <bool kGateUp>
struct alignas(16) Shared {
  quantized::Shared<kOutput<kGateUp>> products;
  GroupOrder order;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <bool kGateUp>
class ExpertWork {
 public:
  __device__ __forceinline__ ExpertWork(const Problem& problem, GroupOrder& order)
      : problem_(problem), order_(order), groups_(1 + problem.experts) {}

  // With all of a block, which has a barrier behind it. `keys` is memory for one of each group.
  __device__ __forceinline__ void fill(uint16_t* keys) {
    const int i = static_cast<int>(threadIdx.x);
    if (i < groups_) {
      const Group group = group_of(problem_, problem_.scratch.offsets, i);
      const int variant = group.rows > 0 ? variant_of(group) : quantized::kVariants;
      keys[i] = static_cast<uint16_t>(variant * (kMaxMoeExperts + 1) + i);
    }
    __syncthreads();
    if (i < groups_) {
      const uint16_t key = keys[i];
      int before = 0;
      for (int other = 0; other < groups_; ++other) before += keys[other] < key ? 1 : 0;
      order_.group[before] = static_cast<uint16_t>(i);
    }
    __syncthreads();
    if (i < 32) {
      fill_table(order_.table, groups_, [&](int at) {
        const Group group = group_of(problem_, problem_.scratch.offsets, order_.group[at]);
        return quantized::tiles_of(group.rows) * column_tiles_of(group);
      });
    }
  }

  __device__ __forceinline__ int items() const { return order_.table.first[groups_]; }

  __device__ __forceinline__ Tile tile(int item, int& first_token) const {
    const MoeExpertsParams& p = problem_.p;
    const int index = find_group(order_.table, groups_, item);
    const Group group = group_of(problem_, problem_.scratch.offsets, order_.group[index]);
    // Row tiles run fastest: blocks at work at the same time share their weights in L2. The rows
    // are shared out evenly.
    const int row_tiles = quantized::tiles_of(group.rows);
    const int at = item - order_.table.first[index];
    const int height = quantized::even_height(group.rows);
    const int first_row = at % row_tiles * height;
    const int first_block = at / row_tiles * quantized::kTileBlocks;
    first_token = group.first_row + first_row;
    Tile tile;
    tile.format = format_of(problem_, group.expert);
    tile.variant = variant_of(group);
    tile.k = kGateUp ? p.hidden : group.width;
    const auto* weights =
        static_cast<const unsigned char*>(kGateUp ? p.gate_up[group.expert] : p.down[group.expert]);
    tile.weights = weights + first_block * (quantized_cols(tile.k) / kQuantizedTile) *
                                 tile_bytes(tile.format.type);
    const auto* scales = static_cast<const __nv_bfloat16*>(kGateUp ? p.gate_up_scales[group.expert]
                                                                   : p.down_scales[group.expert]);
    tile.scales =
        scales + first_block * (quantized_groups(tile.k, tile.format.group) * kQuantizedTile);
    tile.blocks = min(quantized::kTileBlocks, stored_rows(group) / kQuantizedTile - first_block);
    tile.tokens = min(height, group.rows - first_row);
    const int first_output = first_block * (kGateUp ? kQuantizedTile / 2 : kQuantizedTile);
    tile.outputs = (kGateUp ? group.width : p.hidden) - first_output;
    if constexpr (kGateUp) {
      tile.out_stride = problem_.inner_stride;
      tile.out = static_cast<__nv_bfloat16*>(problem_.scratch.inner) +
                 first_token * tile.out_stride + first_output;
    } else {
      tile.out_stride = p.hidden;
      tile.out = problem_.scratch.result + first_token * tile.out_stride + first_output;
    }
    return tile;
  }

  __device__ __forceinline__ const __nv_bfloat16* token(int row) const {
    if constexpr (kGateUp) {
      return static_cast<const __nv_bfloat16*>(problem_.p.x) +
             int64_t{problem_.scratch.row_token[row]} * problem_.p.hidden;
    } else {
      return static_cast<const __nv_bfloat16*>(problem_.scratch.inner) +
             int64_t{row} * problem_.inner_stride;
    }
  }

 private:
  __device__ __forceinline__ int stored_rows(const Group& group) const {
    return static_cast<int>(kGateUp ? quantized_rows(2 * group.width, RowOrder::kGateUp)
                                    : quantized_rows(problem_.p.hidden, RowOrder::kPlain));
  }
  __device__ __forceinline__ int variant_of(const Group& group) const {
    return quantized::variant_of(format_of(problem_, group.expert),
                                 quantized::even_height(group.rows));
  }
  __device__ __forceinline__ int column_tiles_of(const Group& group) const {
    return (stored_rows(group) + quantized::kTileRows - 1) / quantized::kTileRows;
  }

  const Problem& problem_;
  GroupOrder& order_;
  const int groups_;
};

#endif  // __CUDA_ARCH_FEAT_SM90_ALL

template <bool kGateUp>
__global__ __launch_bounds__(quantized::kThreads, 1) void quantized_hopper_kernel(
    const __grid_constant__ Problem problem, const __grid_constant__ Ring ring) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // The kernel has no other shared memory, so this is aligned as matrix operands want it.
  extern __shared__ __align__(1024) unsigned char shared_memory[];
  auto& shared =
      *reinterpret_cast<Shared<kGateUp>*>(shared_memory + ring.stages * ring.stage_bytes);
  if (threadIdx.x == 0) quantized::init_barriers(shared.products, ring);
  let_next_kernel_start();
  wait_for_previous_kernel();
  ExpertWork<kGateUp> work(problem, shared.order);
  // The staging memory is not in use yet.
  work.fill(reinterpret_cast<uint16_t*>(shared.products.staging));
  __syncthreads();
  quantized::run_tiles(work, shared.products, ring, shared_address(shared_memory));
#endif
}

template <bool kGateUp>
cudaError_t launch_product(const Problem& problem, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const auto any = [&](const auto& holds) {
    return (p.text_experts > 0 && holds(p.text_format)) ||
           (p.vision_experts > 0 && holds(p.vision_format)) ||
           (p.shared_width > 0 && holds(p.shared_format));
  };
  const Ring ring = quantized::ring_for(
      any([](const WeightFormat& format) { return format.type == WeightType::kInt8; }),
      any([](const WeightFormat& format) { return format.group > 0; }), sizeof(Shared<kGateUp>));
  const size_t shared_bytes =
      static_cast<size_t>(ring.stages) * ring.stage_bytes + sizeof(Shared<kGateUp>);
  const auto kernel = quantized_hopper_kernel<kGateUp>;
  if (const cudaError_t error = allow_shared_memory(kernel, shared_bytes); error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(multiprocessors())),
                 .block = dim3(quantized::kThreads),
                 .shared_bytes = shared_bytes,
                 .overlap_previous = true},
                stream, problem, ring);
}

}  // namespace

cudaError_t launch_quantized_hopper(const Problem& problem, cudaStream_t stream) {
  return first_error(
      {launch_product<true>(problem, stream), launch_product<false>(problem, stream)});
}

}  // namespace ernie::kernels::moe
