#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/experts_groups.cuh"
#include "kernels/moe/router.h"
#include "kernels/moe/weight_stream.cuh"

// The expert MLP of one token, which is the reading of weights. One block on each multiprocessor
// reads an equal share; each of its warps streams a share of that through a ring of shared memory
// without ever stopping. Both kernels begin with weights that are known before their predecessor
// has ended, and they fit on a multiprocessor together, so memory does not wait for a boundary.
//
// The 16 rows of a matrix product are few weight rows, cut into parts of k so that lanes read
// neighbouring memory. The parts meet the token in columns of their own, and the products that
// count are then added over the parts.
namespace ernie::kernels::moe {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
// Of the first product so many that only one block has room on a multiprocessor.
constexpr int kGateUpSlots = 14;
constexpr int kDownSlots = 9;
constexpr int kMostMembers = kMaxTopK + 1;  // chosen experts and the shared one
constexpr int kGateUpStep = 8 * kChunk;     // of k: a chunk for each of 8 parts
constexpr int kDownRows = 4;                // of a tile
constexpr int kWarpSlices = 2;
constexpr int kDownSlices = kWarps * kWarpSlices;  // of the k of all members together
constexpr int kDownStep = 2 * kChunk;              // of a slice: a chunk for each of 2 parts
constexpr size_t kMostSharedBytes = size_t{160} << 10;

// The weights of a warp on their way through its ring, chunk by chunk.
template <int kSlots>
class Stream {
 public:
  __device__ explicit Stream(Ring<kSlots>& ring) : ring_(ring) {}

  // The lane's 16 bytes of two rows; nothing is read, and zero got, where they are not there.
  __device__ void fetch(const __nv_bfloat16* low, bool has_low, const __nv_bfloat16* high,
                        bool has_high) {
    const uint32_t slot = shared_address(&ring_.slot[in_][0][threadIdx.x % 32]);
    copy16_stream(slot, low, has_low);
    copy16_stream(slot + sizeof(ring_.slot[0][0]), high, has_high);
  }
  // Forgets what was fetched, when all of it has arrived.
  __device__ void restart() { in_ = out_ = 0; }
  // After each fetch, or in its place when there is nothing to fetch.
  __device__ void commit() {
    commit_copies();
    in_ = in_ + 1 == kSlots ? 0 : in_ + 1;
  }
  // With kSlots chunks committed and not yet multiplied: the oldest.
  __device__ void multiply(uint4 token, float (&sums)[4]) {
    wait_for_copies<kSlots - 1>();
    const uint4 low = ring_.slot[out_][0][threadIdx.x % 32];
    const uint4 high = ring_.slot[out_][1][threadIdx.x % 32];
    out_ = out_ + 1 == kSlots ? 0 : out_ + 1;
    multiply_add(sums, low.x, high.x, low.y, high.y, token.x, token.y);
    multiply_add(sums, low.z, high.z, low.w, high.w, token.z, token.w);
  }

 private:
  Ring<kSlots>& ring_;
  int in_ = 0;
  int out_ = 0;
};

// Copies kRows rows, of lengths[r] elements, a multiple of 8, to shared memory with kCopiers
// threads, zeros behind them up to `padded`. Loads of a thread are under way together.
template <int kCopiers, int kRows>
__device__ __forceinline__ void copy_padded(int thread, const __nv_bfloat16* const (&from)[kRows],
                                            const int (&lengths)[kRows], __nv_bfloat16* to,
                                            int padded) {
  constexpr int kTogether = 4;
  for (int first = 8 * thread; first < padded; first += 8 * kCopiers * kTogether) {
    uint4 data[kRows][kTogether];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
        const int i = first + 8 * kCopiers * u;
        data[r][u] = i < lengths[r] ? __ldcg(reinterpret_cast<const uint4*>(from[r] + i)) : uint4{};
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int u = 0; u < kTogether; ++u) {
        const int i = first + 8 * kCopiers * u;
        if (i < padded) *reinterpret_cast<uint4*>(to + r * padded + i) = data[r][u];
      }
    }
  }
}

// Of the sums of rows g and g + 8, the one whose column is `part`.
__device__ __forceinline__ float2 of_part(const float (&sums)[4], int part) {
  if (static_cast<int>(threadIdx.x) % 4 != part / 2) return make_float2(0.0f, 0.0f);
  return part % 2 == 0 ? make_float2(sums[0], sums[2]) : make_float2(sums[1], sums[3]);
}

// The width of choice k, 0 if it is no expert.
__device__ __forceinline__ int choice_width(const MoeExpertsParams& p, int expert) {
  const bool exists =
      static_cast<unsigned>(expert) < static_cast<unsigned>(p.text_experts + p.vision_experts);
  return exists ? width_of(p, expert) : 0;
}

int gate_up_steps(int hidden) { return static_cast<int>(ceil_div(hidden, kGateUpStep)); }

// Gate row i and up row i of a member make a pair; those of the shared expert come first. Warp w of
// a block takes every kWarps-th of its pairs.
__global__ __launch_bounds__(kThreads,
                             2) void gate_up_kernel(const __grid_constant__ Problem problem,
                                                    int steps) {
  extern __shared__ uint4 shared_memory[];
  __shared__ const __nv_bfloat16* pointers[kMaxMoeExperts];
  __shared__ const __nv_bfloat16* weights[kMaxTopK];
  __shared__ int first[kMaxTopK + 1];  // pair of each choice
  const MoeExpertsParams& p = problem.p;
  auto* rings = reinterpret_cast<Ring<kGateUpSlots>*>(shared_memory);
  auto* token = reinterpret_cast<__nv_bfloat16*>(rings + kWarps);  // [steps * kGateUpStep]
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto share = [](int64_t n, unsigned block) {
    return static_cast<int>(n * block / gridDim.x);
  };
  const int first_shared = share(p.shared_width, blockIdx.x);
  const int shared_pairs = share(p.shared_width, blockIdx.x + 1) - first_shared;
  int first_routed = 0;
  int pairs = shared_pairs;  // known so far
  const auto* shared_weights =
      p.shared_width > 0 ? static_cast<const __nv_bfloat16*>(p.gate_up[problem.experts]) : nullptr;

  struct Pair {
    const __nv_bfloat16* gate;
    int width;
    int member;
    int row;
  };
  const auto pair_of = [&](int index) -> Pair {
    if (index < shared_pairs) {
      const int row = first_shared + index;
      return {shared_weights + static_cast<size_t>(row) * p.hidden, p.shared_width, p.top_k, row};
    }
    const int routed = first_routed + index - shared_pairs;
    int k = 0;
    while (routed >= first[k + 1]) ++k;
    const int row = routed - first[k];
    return {weights[k] + static_cast<size_t>(row) * p.hidden, first[k + 1] - first[k], k, row};
  };

  Stream<kGateUpSlots> stream(rings[warp]);
  int next = warp;  // pair
  int next_step = 0;
  const __nv_bfloat16* gate = nullptr;
  size_t up = 0;  // from gate
  const auto go_to_next = [&] {
    if (next >= pairs) return;
    const Pair pair = pair_of(next);
    gate = pair.gate;
    up = static_cast<size_t>(pair.width) * p.hidden;
  };
  const auto fetch = [&] {
    if (next < pairs) {
      const int at = next_step * kGateUpStep + 8 * lane;
      const bool exists = at < p.hidden;
      const __nv_bfloat16* from = gate + (exists ? at : 0);
      stream.fetch(from, exists, from + up, exists);
      if (++next_step == steps) {
        next_step = 0;
        next += kWarps;
        go_to_next();
      }
    }
    stream.commit();
  };

  for (int e = static_cast<int>(threadIdx.x); e < problem.experts; e += kThreads) {
    pointers[e] = static_cast<const __nv_bfloat16*>(p.gate_up[e]);
  }
  go_to_next();
  int ahead = 0;
  for (; ahead < kGateUpSlots - 1 && next < pairs; ++ahead) fetch();
  __syncthreads();

  wait_for_previous_kernel();
  // The next kernel looks up what the router chose before it waits, so it must not start earlier.
  let_next_kernel_start();
  const int expert = lane < p.top_k ? __ldcg(p.expert_ids + lane) : -1;
  const __nv_bfloat16* x[1] = {static_cast<const __nv_bfloat16*>(p.x)};
  copy_padded<kThreads>(static_cast<int>(threadIdx.x), x, {p.hidden}, token, steps * kGateUpStep);
  if (warp == 0) {
    const int width = choice_width(p, expert);
    if (width > 0) weights[lane] = pointers[expert];
    int sum = width;
#pragma unroll
    for (int offset = 1; offset < kMaxTopK; offset *= 2) {
      const int before = __shfl_up_sync(kAllLanes, sum, offset);
      if (lane >= offset) sum += before;
    }
    if (lane == 0) first[0] = 0;
    if (lane < kMaxTopK) first[lane + 1] = sum;
  }
  __syncthreads();
  const int routed = first[kMaxTopK];
  first_routed = share(routed, blockIdx.x);
  pairs = shared_pairs + share(routed, blockIdx.x + 1) - first_routed;
  if (next >= shared_pairs) go_to_next();
  for (; ahead < kGateUpSlots - 1; ++ahead) fetch();

  for (int index = warp; index < pairs; index += kWarps) {
    float sums[4] = {};
    for (int step = 0; step < steps; ++step) {
      fetch();
      stream.multiply(*reinterpret_cast<const uint4*>(token + step * kGateUpStep + 8 * lane), sums);
    }
    const float2 products = of_part(sums, lane / 4);
    const float gate_sum = warp_sum(products.x);
    const float up_sum = warp_sum(products.y);
    if (lane == 0) {
      const Pair pair = pair_of(index);
      auto* inner = static_cast<__nv_bfloat16*>(problem.scratch.inner) +
                    static_cast<size_t>(pair.member) * problem.inner_stride;
      inner[pair.row] = __float2bfloat16_rn(swiglu(gate_sum, up_sum));
    }
    __syncwarp();
  }
  wait_for_copies<0>();
}

// The members' k laid end to end is cut into kDownSlices slices, none of two members, so long that
// these suffice: a multiple of a step.
__host__ __device__ __forceinline__ int down_slice_length(const int (&widths)[kMostMembers]) {
  int total = 0;
  for (int m = 0; m < kMostMembers; ++m) total += widths[m];
  constexpr int kAll = kDownSlices * kDownStep;
  int length = max(1, (total + kAll - 1) / kAll) * kDownStep;
  while (true) {
    int slices = 0;
    for (int m = 0; m < kMostMembers; ++m) slices += (widths[m] + length - 1) / length;
    if (slices <= kDownSlices) return length;
    length += kDownStep;
  }
}

struct DownSlice {
  const __nv_bfloat16* weights = nullptr;  // row 0 of the member, from the slice's first k on
  int member = 0;
  int stride = 0;  // of rows
  int begin = 0;   // in the row
  int length = 0;  // 0: there is none
};

// What the token's choices are taken to be.
struct Choices {
  int expert[kMaxTopK];

  __device__ explicit Choices(const MoeExpertsParams& p) {
#pragma unroll
    for (int k = 0; k < kMaxTopK; ++k) expert[k] = k < p.top_k ? __ldcg(p.expert_ids + k) : -1;
  }
  __device__ bool operator==(const Choices& other) const {
    bool same = true;
#pragma unroll
    for (int k = 0; k < kMaxTopK; ++k) same = same && expert[k] == other.expert[k];
    return same;
  }
};

// Slice `index`, and the length of slices.
__device__ DownSlice down_slice(const MoeExpertsParams& p, const Choices& choices, int index,
                                int& slice_length) {
  const int experts = p.text_experts + p.vision_experts;
  int widths[kMostMembers];
#pragma unroll
  for (int k = 0; k < kMaxTopK; ++k) widths[k] = choice_width(p, choices.expert[k]);
  widths[kMaxTopK] = p.shared_width;
  slice_length = down_slice_length(widths);
  DownSlice slice;
  slice.weights = static_cast<const __nv_bfloat16*>(p.x);  // an address to read nothing of
  int expert = -1;
#pragma unroll
  for (int m = 0; m < kMostMembers; ++m) {
    const int slices = (widths[m] + slice_length - 1) / slice_length;
    if (index >= 0 && index < slices) {
      expert = m < kMaxTopK ? choices.expert[m < kMaxTopK ? m : 0] : experts;
      slice.member = m < kMaxTopK ? m : p.top_k;
      slice.stride = widths[m];
      slice.begin = index * slice_length;
      slice.length = min(slice_length, widths[m] - slice.begin);
    }
    index -= slices;
  }
  if (expert >= 0) {
    slice.weights = static_cast<const __nv_bfloat16*>(p.down[expert]) + slice.begin;
  }
  return slice;
}

// A block computes a share of the outputs; each warp adds up kWarpSlices slices of them all.
template <class Out>
__global__ __launch_bounds__(kThreads,
                             2) void down_kernel(const __grid_constant__ Problem problem) {
  extern __shared__ uint4 shared_memory[];
  const MoeExpertsParams& p = problem.p;
  auto* rings = reinterpret_cast<Ring<kDownSlots>*>(shared_memory);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto share = [&](unsigned block) {
    return static_cast<int>(int64_t{p.hidden} * block / gridDim.x);
  };
  const int first_row = share(blockIdx.x);
  const int rows = share(blockIdx.x + 1) - first_row;
  const int tiles = (rows + kDownRows - 1) / kDownRows;
  let_next_kernel_start();

  // Row g of the product is row g / 4 of the tile and part g % 2 of slice g % 4 / 2; row g + 8 is
  // that of the tile's upper half.
  const int g = lane / 4;
  const int own_slice = g % 4 / 2;
  const int in_step = 8 * (lane % 8);
  int slice_length = 0;
  DownSlice slice;
  int next_tile = 0;
  int next_step = 0;
  Stream<kDownSlots> stream(rings[warp]);
  const auto fetch = [&] {
    if (next_tile < tiles) {
      constexpr int kHigh = kDownRows / 2;
      const int at = next_step * kDownStep + in_step;
      const int row = next_tile * kDownRows + g / 4;
      const bool has_low = at < slice.length && row < rows;
      const bool has_high = at < slice.length && row + kHigh < rows;
      const auto from = [&](bool exists, int r) {
        return slice.weights +
               (exists ? static_cast<size_t>(first_row + r) * slice.stride + at : 0);
      };
      stream.fetch(from(has_low, row), has_low, from(has_high, row + kHigh), has_high);
      if (++next_step * kDownStep == slice_length) {
        next_step = 0;
        ++next_tile;
      }
    }
    stream.commit();
  };
  const auto begin = [&](const Choices& choices) {
    slice = down_slice(p, choices, warp * kWarpSlices + own_slice, slice_length);
    next_tile = 0;
    next_step = 0;
    for (int i = 0; i < kDownSlots - 1; ++i) fetch();
  };
  // The first product's kernel let this one start after the router had ended.
  const Choices seen(p);
  begin(seen);

  wait_for_previous_kernel();
  const Choices choices(p);
  // [kWarpSlices][slice_length] of each warp, then the sums [warp][tiles * kDownRows].
  auto* all_tokens = reinterpret_cast<__nv_bfloat16*>(rings + kWarps);
  const auto own_tokens = [&] { return all_tokens + warp * kWarpSlices * slice_length; };
  const auto copy_tokens = [&] {
    const __nv_bfloat16* from[kWarpSlices];
    int lengths[kWarpSlices];
#pragma unroll
    for (int s = 0; s < kWarpSlices; ++s) {
      constexpr int kLanes = 8;  // of a slice
      lengths[s] = __shfl_sync(kAllLanes, slice.length, kLanes * s);
      const int member = __shfl_sync(kAllLanes, slice.member, kLanes * s);
      from[s] = static_cast<const __nv_bfloat16*>(problem.scratch.inner) +
                static_cast<size_t>(member) * problem.inner_stride +
                __shfl_sync(kAllLanes, slice.begin, kLanes * s);
    }
    copy_padded<32>(lane, from, lengths, own_tokens(), slice_length);
  };
  copy_tokens();
  if (!(choices == seen)) {
    wait_for_copies<0>();
    stream.restart();
    begin(choices);
    copy_tokens();
  }
  const float weight = slice.member < p.top_k ? p.expert_weights[slice.member] : 1.0f;
  auto* partial = reinterpret_cast<float*>(all_tokens + kDownSlices * slice_length);
  const __nv_bfloat16* columns = own_tokens() + own_slice * slice_length + in_step;
  __syncwarp();

  for (int tile = 0; tile < tiles; ++tile) {
    float sums[4] = {};
    for (int k = 0; k < slice_length; k += kDownStep) {
      fetch();
      stream.multiply(*reinterpret_cast<const uint4*>(columns + k), sums);
    }
    float2 products = of_part(sums, g % 4);
    products.x *= weight;
    products.y *= weight;
#pragma unroll
    for (int offset = 1; offset < 16; offset *= 2) {
      products.x += __shfl_xor_sync(kAllLanes, products.x, offset);
      products.y += __shfl_xor_sync(kAllLanes, products.y, offset);
    }
    if (lane % 16 == 0) {
      float* at = partial + (warp * tiles + tile) * kDownRows + lane / 16;
      at[0] = products.x;
      at[kDownRows / 2] = products.y;
    }
  }
  wait_for_copies<0>();
  __syncthreads();
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += kThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += partial[w * tiles * kDownRows + row];
    static_cast<Out*>(p.out)[first_row + row] = from_float<Out>(sum);
  }
}

size_t gate_up_shared_bytes(const MoeExpertsParams& p) {
  return sizeof(Ring<kGateUpSlots>) * kWarps +
         static_cast<size_t>(gate_up_steps(p.hidden) * kGateUpStep) * sizeof(__nv_bfloat16);
}

// Enough for any choice of experts.
size_t down_shared_bytes(const MoeExpertsParams& p, int64_t blocks) {
  int widths[kMostMembers] = {};
  for (int k = 0; k < p.top_k; ++k) widths[k] = std::max(p.text_width, p.vision_width);
  widths[kMaxTopK] = p.shared_width;
  const auto tokens = static_cast<size_t>(kDownSlices * down_slice_length(widths));
  const auto rows = static_cast<size_t>(ceil_div(p.hidden, blocks) + kDownRows);
  return sizeof(Ring<kDownSlots>) * kWarps + tokens * sizeof(__nv_bfloat16) +
         kWarps * rows * sizeof(float);
}

int64_t down_blocks(const MoeExpertsParams& p) {
  return std::min<int64_t>(multiprocessors(), ceil_div(p.hidden, kDownRows));
}

template <class Kernel, class... Arguments>
cudaError_t launch_streams(Kernel kernel, int64_t blocks, size_t shared_bytes, cudaStream_t stream,
                           const Arguments&... arguments) {
  if (const cudaError_t error = allow_shared_memory(kernel, shared_bytes); error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(blocks)),
                 .block = dim3(kThreads),
                 .shared_bytes = shared_bytes,
                 .overlap_previous = true},
                stream, arguments...);
}

}  // namespace

bool single_takes(const MoeExpertsParams& p) {
  return p.tokens == 1 && gate_up_shared_bytes(p) <= kMostSharedBytes &&
         down_shared_bytes(p, down_blocks(p)) <= kMostSharedBytes;
}

cudaError_t launch_single(const Problem& problem, cudaStream_t stream) {
  const MoeExpertsParams& p = problem.p;
  const int64_t blocks = down_blocks(p);
  const size_t shared_bytes = down_shared_bytes(p, blocks);
  return first_error(
      {launch_streams(gate_up_kernel, multiprocessors(), gate_up_shared_bytes(p), stream, problem,
                      gate_up_steps(p.hidden)),
       p.out_type == ElementType::kBF16
           ? launch_streams(down_kernel<__nv_bfloat16>, blocks, shared_bytes, stream, problem)
           : launch_streams(down_kernel<float>, blocks, shared_bytes, stream, problem)});
}

}  // namespace ernie::kernels::moe
