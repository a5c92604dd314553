#include <cuda_bf16.h>

#include "kernels/common/launch.cuh"
#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/router.h"
#include "kernels/quantized/stream.cuh"

// The quantised expert MLP for few tokens: time is the reading of the weights. Every block gets an
// equal share of their bytes: of the shared expert, whose weights it can ask for before the router
// has ended, and of the chosen experts. The second product's kernel learns what the router chose
// while the first still runs, and has weights under way when that ends.
//
// With more tokens than a tile has columns, an expert's weights are read again for each further
// kRows of them, from L2 when the blocks are not far apart.
namespace ernie::kernels::moe {
namespace {

using quantized::Item;

constexpr int kMostItems = 96;  // of a block at a time
constexpr int kMostPairs = kMaxDecodeTokens * kMaxTopK;

template <class S>
struct Tables {
  static constexpr int kScans = 3;
  union {
    struct {
      // Rows of an expert that come before those of so many times 32 choices.
      uint16_t before[kMostPairs / 32][kMaxMoeExperts];
      int first_row[kMaxMoeExperts];
    };
    typename S::Exchange exchange;
  };
  // Scales are on their way while rows are counted.
  static_assert(sizeof(before) + sizeof(first_row) <= sizeof(S::Exchange::sums));
  Item items[kMostItems];
  int row_token[kMostPairs];
  int totals[kScans][S::kWarps];
  int shared_items;
};

// The sum of x over the threads before this one; `all` of all threads.
template <int kWarps>
__device__ __forceinline__ int scan(int x, int (&totals)[kWarps], int& all) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  int sum = x;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int before = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane >= offset) sum += before;
  }
  if (lane == 31) totals[warp] = sum;
  __syncthreads();
  sum -= x;
  all = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) sum += totals[w];
    all += totals[w];
  }
  return sum;
}

// A block's share of one product. Thread e of the block sees to expert e.
template <class S, bool kGateUp>
class Work {
 public:
  using Cursor = int;  // number of the item

  // Items from `first` on, as many as there is room for, are the block's work.
  __device__ Work(const Problem& problem, Tables<S>& tables, int first)
      : problem_(problem),
        tables_(tables),
        expert_(static_cast<int>(threadIdx.x)),
        first_item_(first) {
    static_assert(S::kThreads == kMaxMoeExperts);
    const MoeExpertsParams& p = problem.p;
    if (p.tokens <= kMaxDecodeTokens) {
      for (int i = 0; 32 * i < p.tokens * p.top_k; ++i) tables.before[i][expert_] = 0;
    }
    if (expert_ < problem.experts) weights_ = load_weights(expert_);
    if (p.shared_width > 0) {
      const Weights shared = load_weights(problem.experts);
      shared_slabs_ = all_slabs(shared, p.tokens);
      shared_slab_ = shared.pieces;
      if (threadIdx.x == 0) {
        tables.shared_items =
            make_items(shared, p.tokens * p.top_k, p.tokens, share(shared_slabs_, blockIdx.x),
                       share(shared_slabs_, blockIdx.x + 1), -first, kMostItems);
      }
      __syncthreads();
      shared_items_ = tables.shared_items;
    }
    items_ = min(shared_items_ - first, kMostItems);
  }

  // After the router: finds the rows of each expert and appends the block's share of them. Block
  // `writes` leaves them in the workspace.
  __device__ void route(bool writes) {
    const MoeExpertsParams& p = problem_.p;
    const bool exists = expert_ < problem_.experts;
    const int pairs = p.tokens * p.top_k;
    const bool sorted = p.tokens > kMaxDecodeTokens;
    int first_row = 0;
    int rows = 0;
    if (sorted) {
      if (exists) {
        first_row = problem_.scratch.offsets[expert_];
        rows = problem_.scratch.offsets[expert_ + 1] - first_row;
      }
    } else {
      rows = count_rows(pairs);
      int all = 0;
      first_row = scan(rows, tables_.totals[0], all);
      if (kGateUp) place_rows(pairs, first_row, writes);
    }
    const int slabs = rows > 0 ? all_slabs(weights_, rows) : 0;
    int routed = 0;
    const int first = scan(slabs * weights_.pieces, tables_.totals[1], routed);
    // A slab belongs to the block in whose share its middle lies.
    const auto slabs_before = [&](int64_t block) {
      const int pieces = routed_before(routed, block) - first;
      return slabs == 0 || pieces <= 0
                 ? 0
                 : min(slabs, (pieces + weights_.pieces / 2) / weights_.pieces);
    };
    const int begin = slabs_before(blockIdx.x);
    const int end = slabs_before(blockIdx.x + 1);
    const int own = make_items(weights_, first_row, rows, begin, end, 0, 0);
    int all = 0;
    const int number = shared_items_ + scan(own, tables_.totals[2], all) - first_item_;
    make_items(weights_, first_row, rows, begin, end, number, kMostItems);
    all_items_ = shared_items_ + all;
    items_ = min(all_items_ - first_item_, kMostItems);
    __syncthreads();
  }
  __device__ int all_items() const { return all_items_; }

  __device__ Cursor first() const { return 0; }
  __device__ bool find(Cursor& c) const { return c < items_; }
  __device__ const Item& item(Cursor c) const { return tables_.items[c]; }
  __device__ Cursor after(Cursor c, const Item&) const { return c + 1; }

  __device__ const __nv_bfloat16* row(const Item& item, int i) const {
    const MoeExpertsParams& p = problem_.p;
    const int row = item.row + i;
    if constexpr (!kGateUp) {
      return static_cast<const __nv_bfloat16*>(problem_.scratch.inner) +
             static_cast<size_t>(row) * problem_.inner_stride;
    }
    const int shared_row = p.tokens * p.top_k;
    const int* row_token =
        p.tokens > kMaxDecodeTokens ? problem_.scratch.row_token : tables_.row_token;
    const int token = row < shared_row ? row_token[row] : row - shared_row;
    return static_cast<const __nv_bfloat16*>(p.x) + static_cast<size_t>(token) * p.hidden;
  }

  __device__ void finish(const Item& item, int slab, int g, int i, float low, float high) const {
    const auto row = static_cast<size_t>(item.row + i);
    if constexpr (kGateUp) {
      static_cast<__nv_bfloat16*>(
          problem_.scratch.inner)[row * problem_.inner_stride + 8 * slab + g] =
          __float2bfloat16_rn(swiglu(low, high));
    } else {
      float* result = problem_.scratch.result + row * problem_.p.hidden + kSlabRows * slab + g;
      result[0] = low;
      if (kSlabRows * slab + 8 < problem_.p.hidden) result[8] = high;
    }
  }

 private:
  struct Weights {
    const unsigned char* values = nullptr;
    const __nv_bfloat16* scales = nullptr;
    WeightFormat format;
    int k = 0;
    int slabs = 0;
    int pieces = 0;  // of 512 bytes in a slab
  };
  __device__ Weights load_weights(int expert) const {
    const MoeExpertsParams& p = problem_.p;
    const int width = width_of(problem_, expert);
    Weights w;
    w.values = static_cast<const unsigned char*>((kGateUp ? p.gate_up : p.down)[expert]);
    w.scales =
        static_cast<const __nv_bfloat16*>((kGateUp ? p.gate_up_scales : p.down_scales)[expert]);
    w.format = format_of(problem_, expert);
    w.k = kGateUp ? p.hidden : width;
    w.slabs = kGateUp ? width / 8 : (p.hidden + kSlabRows - 1) / kSlabRows;
    w.pieces =
        (w.k + kQuantizedTile - 1) / kQuantizedTile * (w.format.type == WeightType::kInt4 ? 1 : 2);
    return w;
  }
  // Counted on through the tiles of tokens.
  static __device__ int all_slabs(const Weights& w, int rows) {
    return (rows + S::kRows - 1) / S::kRows * w.slabs;
  }

  // The choice of an expert that lane l of a warp has in its turn, and how many before it in the
  // same 32 are of that expert.
  struct Choice {
    int pair;    // token * top_k + k
    int expert;  // -1: none
    int rank;
    uint32_t same;  // the lanes with the same expert
  };
  __device__ Choice choice(int chunk, int pairs) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Choice c;
    c.pair = 32 * chunk + lane;
    const int id = c.pair < pairs ? __ldcg(problem_.p.expert_ids + c.pair) : -1;
    c.expert = id < problem_.experts ? max(id, -1) : -1;
    c.same = __match_any_sync(kAllLanes, c.expert);
    c.rank = __popc(c.same & ((1u << lane) - 1));
    return c;
  }
  template <class Visit>
  __device__ void for_own_choices(int pairs, Visit visit) const {
    for (int chunk = static_cast<int>(threadIdx.x) / 32; chunk * 32 < pairs; chunk += S::kWarps) {
      visit(chunk, choice(chunk, pairs));
    }
  }
  // Returns how many rows the thread's expert has.
  __device__ int count_rows(int pairs) {
    __syncthreads();  // all counts are 0
    for_own_choices(pairs, [&](int chunk, const Choice& c) {
      if (c.expert >= 0 && c.rank == 0) {
        tables_.before[chunk][c.expert] = static_cast<uint16_t>(__popc(c.same));
      }
    });
    __syncthreads();
    if (expert_ >= problem_.experts) return 0;
    int rows = 0;
    for (int chunk = 0; 32 * chunk < pairs; ++chunk) {
      const int here = tables_.before[chunk][expert_];
      tables_.before[chunk][expert_] = static_cast<uint16_t>(rows);
      rows += here;
    }
    return rows;
  }
  __device__ void place_rows(int pairs, int first_row, bool writes) {
    if (expert_ < problem_.experts) tables_.first_row[expert_] = first_row;
    __syncthreads();
    for_own_choices(pairs, [&](int chunk, const Choice& c) {
      if (c.pair >= pairs) return;
      int row = -1;
      if (c.expert >= 0) {
        row = tables_.first_row[c.expert] + tables_.before[chunk][c.expert] + c.rank;
        tables_.row_token[row] = c.pair / problem_.p.top_k;
      }
      if (writes) problem_.scratch.pair_row[c.pair] = row;
    });
  }

  static __device__ int share(int64_t n, int64_t block) {
    return static_cast<int>(n * block / gridDim.x);
  }
  // How many pieces of the chosen experts go to the blocks before: what these have too much or too
  // little of the shared expert, which comes in whole slabs, is made up for here, if it can be.
  __device__ int routed_before(int routed, int64_t block) const {
    const int64_t blocks = gridDim.x;
    if (shared_slabs_ == 0 || (shared_slab_ + 1) * blocks > routed) return share(routed, block);
    const int before = share(int64_t{routed} + shared_slabs_ * shared_slab_, block) -
                       share(shared_slabs_, block) * shared_slab_;
    return max(0, min(before, routed));
  }

  // Cuts slabs [begin, end) into items, writes those that get a number from 0 to most - 1 when the
  // first gets `number`, and returns how many there are.
  __device__ int make_items(const Weights& w, int first_row, int rows, int begin, int end,
                            int number, int most) const {
    int count = 0;
    for (int at = begin; at < end;) {
      const int tile = at / w.slabs;
      const int slab = at - tile * w.slabs;
      const int run = min(w.slabs - slab, end - at);
      const int max_slabs = S::max_slabs(w.format.type == WeightType::kInt4, slab);
      const int parts = (run + max_slabs - 1) / max_slabs;
      const int slabs = (run + parts - 1) / parts;
      if (number + count >= 0 && number + count < most) {
        Item& item = tables_.items[number + count];
        item.values = w.values;
        item.scales = w.scales;
        item.int4 = w.format.type == WeightType::kInt4;
        item.group = w.format.group;
        item.k = w.k;
        item.slab = slab;
        item.slabs = slabs;
        item.row = first_row + tile * S::kRows;
        item.rows = min(rows - tile * S::kRows, S::kRows);
      }
      ++count;
      at += slabs;
    }
    return count;
  }

  const Problem& problem_;
  Tables<S>& tables_;
  int expert_;
  int first_item_;
  Weights weights_;
  int shared_slab_ = 0;  // pieces of one
  int shared_slabs_ = 0;
  int shared_items_ = 0;
  int all_items_ = 0;
  int items_ = 0;
};

template <class S, bool kGateUp>
__global__ __launch_bounds__(S::kThreads, S::kBlocks) void quantized_kernel(
    const __grid_constant__ Problem problem) {
  extern __shared__ __align__(128) uint4 shared_memory[];
  __shared__ Tables<S> tables;
  if (!kGateUp) let_next_kernel_start();
  const bool routes_first = !kGateUp && problem.p.tokens <= kMaxDecodeTokens;
  for (int first = 0, all = 1; first < all; first += kMostItems) {
    __syncthreads();
    Work<S, kGateUp> work(problem, tables, first);
    if (routes_first) work.route(false);
    quantized::Ring<S> ring(shared_memory, problem.p.tokens);
    if (first == 0) {
      quantized::prefetch_weights(ring, work, tables.exchange);
      wait_for_previous_kernel();
      // The second product's kernel looks up what the router chose before it waits, so it must not
      // start before the router has ended.
      if (kGateUp) let_next_kernel_start();
    }
    if (!routes_first) work.route(first == 0 && blockIdx.x == 0);
    all = work.all_items();
    quantized::stream_products(ring, work, tables.exchange);
  }
}

template <class S, bool kGateUp>
cudaError_t launch_product(const Problem& problem, cudaStream_t stream) {
  const auto kernel = quantized_kernel<S, kGateUp>;
  const size_t shared_bytes = S::ring_bytes(problem.p.tokens);
  if (const cudaError_t error = allow_shared_memory(kernel, shared_bytes); error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(S::kBlocks * multiprocessors())),
                 .block = dim3(S::kThreads),
                 .shared_bytes = shared_bytes,
                 .overlap_previous = true},
                stream, problem);
}

template <class S>
cudaError_t launch_both(const Problem& problem, cudaStream_t stream) {
  if (const cudaError_t error = launch_product<S, true>(problem, stream); error != cudaSuccess) {
    return error;
  }
  return launch_product<S, false>(problem, stream);
}

template <bool kGroups>
cudaError_t launch_shape(const Problem& problem, cudaStream_t stream) {
  if (problem.p.tokens == 1) return launch_both<quantized::OneRow<kGroups>>(problem, stream);
  if (problem.p.tokens <= 4) return launch_both<quantized::VeryFewRows<kGroups>>(problem, stream);
  return problem.p.tokens <= kMaxDecodeTokens
             ? launch_both<quantized::FewRows<kGroups>>(problem, stream)
             : launch_both<quantized::MoreRows<kGroups>>(problem, stream);
}

}  // namespace

cudaError_t launch_quantized(const Problem& problem, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const bool groups = (p.text_experts > 0 && p.text_format.group > 0) ||
                      (p.vision_experts > 0 && p.vision_format.group > 0) ||
                      (p.shared_width > 0 && p.shared_format.group > 0);
  return groups ? launch_shape<true>(problem, stream) : launch_shape<false>(problem, stream);
}

}  // namespace ernie::kernels::moe
