#include <cuda_runtime.h>

#include <cfloat>

#include "kernels/common/arch.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/sampling/group.cuh"
#include "kernels/sampling/sampling.h"

namespace ernie::kernels {
namespace {

using sampling::Found;
using sampling::Group;
using sampling::Shared;

// For 103424 tokens a block of a cluster takes 56 KB, so that four share a multiprocessor and the
// clusters of 64 rows run at once on 132 of them.
constexpr int kClusterBlocks = kSamplingClusterBlocks;
constexpr int kClusterThreads = kSamplingClusterThreads;
constexpr int kBlocksPerMultiprocessor = 4;
constexpr int kSingleThreads = kSamplingSingleThreads;

constexpr float kGreedyBelow = 1e-6f;
constexpr uint64_t kFaulty = ~uint64_t{0};

// Keeps what is heavier than `value`, or as heavy with an id below `end`. Every restriction (min-p,
// top-k, a rejected token) is of this form, and so is their intersection.
struct Threshold {
  float value;
  int32_t end;
  __device__ bool keeps(float weight, int32_t id) const {
    return weight > value || (weight == value && id < end);
  }
  __device__ Threshold and_also(Threshold other) const {
    if (value != other.value) return value > other.value ? *this : other;
    return {value, min(end, other.end)};
  }
};

// Unsigned integers in the order of the floats; zeros of both signs are equal.
__device__ __forceinline__ uint32_t order_key(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float key_value(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), the same
// numbers as the CPU backend's counter_uniform().
__device__ double counter_uniform(uint64_t seed, uint64_t position, uint32_t index) {
  uint32_t c0 = static_cast<uint32_t>(position);
  uint32_t c1 = static_cast<uint32_t>(position >> 32);
  uint32_t c2 = index;
  uint32_t c3 = 0;
  uint32_t key0 = static_cast<uint32_t>(seed);
  uint32_t key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c0;
    const uint64_t b = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(b);
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  const uint64_t bits = (uint64_t{c0} << 32 | c1) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

// The largest element a thread has seen, the first of equals.
struct Best {
  float value = -INFINITY;
  int32_t id = 0;
  bool fault = false;

  __device__ void see(float v, int32_t at) {
    if (!(v <= FLT_MAX)) fault = true;
    if (v > value) {
      value = v;
      id = at;
    }
  }
  __device__ void see(const float4& four, int32_t at) {
    see(four.x, at);
    see(four.y, at + 1);
    see(four.z, at + 2);
    see(four.w, at + 3);
  }
  // The larger the better: by value, then by falling id; a fault is above all.
  __device__ uint64_t packed() const {
    if (fault) return kFaulty;
    return uint64_t{order_key(value)} << 32 | ~static_cast<uint32_t>(id);
  }
};
__device__ float packed_value(uint64_t packed) {
  return key_value(static_cast<uint32_t>(packed >> 32));
}
__device__ int32_t packed_id(uint64_t packed) {
  return static_cast<int32_t>(~static_cast<uint32_t>(packed));
}

// Copies the row into the slice, with minus infinity behind its end.
template <class G>
__device__ Best load_row(const G& group, const float* logits, int vocab) {
  constexpr int kLoads = 8;  // of 16 bytes in flight
  Best best;
  const bool aligned = reinterpret_cast<uintptr_t>(logits) % 16 == 0;
  const int end = group.warp_begin() + group.warp_length();
  for (int begin = group.warp_begin() + 4 * group.lane(); begin < end; begin += 128 * kLoads) {
    float4 loaded[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      const int i = begin + 128 * l;
      const int id = group.first_id() + i;
      loaded[l] = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
      if (i >= end) continue;
      if (aligned && id + 3 < vocab) {
        loaded[l] = *reinterpret_cast<const float4*>(logits + id);
      } else {
        if (id < vocab) loaded[l].x = logits[id];
        if (id + 1 < vocab) loaded[l].y = logits[id + 1];
        if (id + 2 < vocab) loaded[l].z = logits[id + 2];
        if (id + 3 < vocab) loaded[l].w = logits[id + 3];
      }
    }
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      const int i = begin + 128 * l;
      if (i >= end) continue;
      best.see(loaded[l], group.first_id() + i);
      *reinterpret_cast<float4*>(group.slice() + i) = loaded[l];
    }
  }
  return best;
}

// Replaces x by exp((x - shift) * scale) when kStore. Adds up what the threshold keeps.
template <bool kStore, class G>
__device__ void add_up_exp(G& group, float shift, float scale, Threshold kept) {
  double mass = 0;
  group.template for_each_four<kStore>([&](float4& four, int id) {
    const float a = expf((four.x - shift) * scale);
    const float b = expf((four.y - shift) * scale);
    const float c = expf((four.z - shift) * scale);
    const float d = expf((four.w - shift) * scale);
    if constexpr (kStore) four = make_float4(a, b, c, d);
    mass += ((kept.keeps(a, id) ? a : 0.0f) + (kept.keeps(b, id + 1) ? b : 0.0f)) +
            ((kept.keeps(c, id + 2) ? c : 0.0f) + (kept.keeps(d, id + 3) ? d : 0.0f));
  });
  group.add_up(mass, 0);
}

// Adds up the weights that each of two thresholds keeps.
template <class G>
__device__ void add_up_kept(G& group, Threshold first, Threshold second) {
  double first_mass = 0;
  double second_mass = 0;
  group.template for_each_four<false>([&](const float4& four, int id) {
    const auto kept = [&](const Threshold& t) {
      return ((t.keeps(four.x, id) ? four.x : 0.0f) + (t.keeps(four.y, id + 1) ? four.y : 0.0f)) +
             ((t.keeps(four.z, id + 2) ? four.z : 0.0f) +
              (t.keeps(four.w, id + 3) ? four.w : 0.0f));
    };
    first_mass += kept(first);
    second_mass += kept(second);
  });
  group.add_up(first_mass, second_mass);
}

// How many elements are larger than `value`.
template <class G>
__device__ int32_t count_larger(G& group, float value) {
  int32_t count = 0;
  group.template for_each_four<false>([&](const float4& four, int) {
    count += (four.x > value) + (four.y > value) + (four.z > value) + (four.w > value);
  });
  group.add_up(count, 0);
  return static_cast<int32_t>(group.total(0));
}

// The row's `count` largest raw logits, into `result` in order.
template <class G>
__device__ void find_top(G& group, typename G::SharedMemory* shared, Found* top, int count,
                         double log_sum, SampledRow* result) {
  const auto key_of = [](float value, int) { return order_key(value); };
  const auto selected = group.select(static_cast<uint32_t>(count), key_of);
  const auto take = [&](float value, int id) {
    const uint32_t key = order_key(value);
    if (key < selected.key || (key == selected.key && id >= selected.end)) return;
    const uint32_t at = atomicAdd(group.peer(&shared->top_count, 0), 1u);
    group.peer(top, 0)[at] = {value, id};
  };
  group.template for_each_four<false>([&](const float4& four, int id) {
    take(four.x, id);
    take(four.y, id + 1);
    take(four.z, id + 2);
    take(four.w, id + 3);
  });
  group.sync();
  if (group.rank() != 0 || group.warp() != 0 || group.lane() >= count) return;
  const Found own = top[group.lane()];
  int place = 0;
  for (int i = 0; i < count; ++i) {
    const Found other = top[i];
    if (other.value > own.value || (other.value == own.value && other.id < own.id)) ++place;
  }
  result->top_tokens[place] = own.id;
  result->top_logprobs[place] = static_cast<float>(own.value - log_sum);
}

// Logit bias, banned tokens and penalties, in this order. Each changes single elements, wherever in
// the group they are.
template <class G>
__device__ void adjust(const G& group, const SamplingParams& params, const SamplingRow& row) {
  const auto known = [&](int32_t token) { return token >= 0 && token < params.vocab; };
  if (row.bias_count > 0) {
    for (int i = group.thread(); i < row.bias_count; i += group.threads()) {
      const TokenBias bias = params.biases[row.bias_begin + i];
      if (known(bias.token)) *group.element(bias.token) += bias.bias;
    }
    group.sync();
  }
  if (row.banned_count > 0) {
    for (int i = group.thread(); i < row.banned_count; i += group.threads()) {
      const int32_t token = params.banned[row.banned_begin + i];
      if (known(token)) *group.element(token) = -INFINITY;
    }
    group.sync();
  }
  if (row.penalty_count > 0) {
#pragma unroll 4
    for (int i = group.thread(); i < row.penalty_count; i += group.threads()) {
      const TokenCount entry = params.penalties[row.penalty_begin + i];
      if (!known(entry.token)) continue;
      float* element = group.element(entry.token);
      float v = *element;
      if (row.repetition_penalty != 1.0f) {
        v = v > 0 ? v / row.repetition_penalty : v * row.repetition_penalty;
      }
      if (entry.output_count > 0) {
        // Rounded after each operation, as on the CPU.
        v = __fsub_rn(
            v, __fadd_rn(__fmul_rn(row.frequency_penalty, static_cast<float>(entry.output_count)),
                         row.presence_penalty));
      }
      *element = v;
    }
    group.sync();
  }
}

// Removes the tokens without a bit and finds the largest of this thread's elements.
template <class G>
__device__ Best keep_allowed(G& group, const uint32_t* allowed, int vocab) {
  Best best;
  group.template for_each_four<true>([&](float4& four, int id) {
    const uint32_t bits = id < vocab ? allowed[id / 32] >> (id % 32) : 0;  // id is a multiple of 4
    // Not a number stays what it is, so that it is found.
    if (!(bits & 1) && four.x == four.x) four.x = -INFINITY;
    if (!(bits & 2) && four.y == four.y) four.y = -INFINITY;
    if (!(bits & 4) && four.z == four.z) four.z = -INFINITY;
    if (!(bits & 8) && four.w == four.w) four.w = -INFINITY;
    best.see(four, id);
  });
  return best;
}

template <class G>
__device__ uint64_t find_best(G& group) {
  Best best;
  group.template for_each_four<false>([&](const float4& four, int id) { best.see(four, id); });
  return group.largest(best.packed());
}

// The slice holds weights, the largest of which is 1, and those that `kept` keeps have been added
// up as the group's number 0.
template <class G>
__device__ int32_t draw(G& group, const SamplingRow& row, int vocab, Threshold kept) {
  if (row.top_k > 0 && row.top_k < vocab) {
    const auto key_of = [&](float weight, int id) {
      return kept.keeps(weight, id) ? order_key(weight) : 0u;
    };
    const auto selected = group.select(static_cast<uint32_t>(row.top_k), key_of);
    // Key 0 stands for what is not kept: then fewer are kept already.
    if (selected.key != 0) {
      kept = kept.and_also({key_value(selected.key), selected.end});
    }
    add_up_kept(group, kept, kept);
  }
  const double wanted = row.top_p * group.total(0);
  float high = 1.0f;  // no weight is larger
  int which = 0;      // the group's number that is the mass of what is kept
  for (uint32_t round = 0;; ++round) {
    const double u = counter_uniform(row.seed, row.position, round);
    const Found drawn = group.locate(which, u * group.total(which), [&](float weight, int id) {
      return kept.keeps(weight, id) ? weight : 0.0f;
    });
    if (row.top_p >= 1.0f) return drawn.id;
    const Threshold ahead{drawn.value, drawn.id};
    const float middle = drawn.value + (high - drawn.value) * 0.5f;
    const Threshold above_middle{middle, 0};
    add_up_kept(group, ahead, above_middle);
    if (group.total(0) < wanted) return drawn.id;
    // Neither this token nor any behind it is in the nucleus; the middle of what is left is tried
    // as a second pivot, so that the range shrinks at least by half.
    if (middle > drawn.value && group.total(1) >= wanted) {
      kept = above_middle;
      which = 1;
    } else {
      high = middle;
      kept = ahead;
      which = 0;
    }
  }
}

// Grid (kBlocks, rows), the blocks of a row in one cluster. A group leaves together, so that none
// waits for a block that is gone; every access to another block's shared memory is followed by a
// barrier of its group.
template <int kThreads, int kBlocks, int kMinBlocks>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    sampling_kernel(const SamplingParams params, int slice_length) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  if constexpr (kBlocks > 1) return;  // there are no clusters
#endif
  using G = Group<kThreads, kBlocks>;
  const int r = static_cast<int>(blockIdx.y);
  if (params.num_rows != nullptr && r >= *params.num_rows) return;
  const SamplingRow& row = params.rows[r];
  SampledRow* result = params.results + r;
  const bool reports = threadIdx.x == 0 && (kBlocks == 1 || blockIdx.x == 0);
  const bool wants_logprobs = row.top_logprobs >= 0;
  const bool forced = row.forced_token >= 0;

  extern __shared__ __align__(16) unsigned char shared_bytes[];
  auto* shared = reinterpret_cast<typename G::SharedMemory*>(shared_bytes);
  auto* top = reinterpret_cast<Found*>(shared_bytes + sizeof(typename G::SharedMemory));
  float* slice = kBlocks > 1 ? reinterpret_cast<float*>(top + kMaxTopLogprobs)
                             : static_cast<float*>(params.workspace) + int64_t{r} * slice_length;
  G group(shared, slice, slice_length);

  const auto finish = [&](int32_t token, bool fault, double log_sum, int top_count,
                          int32_t rank = 0) {
    if (!reports) return;
    if (params.tokens != nullptr) params.tokens[r] = token;
    result->token = token;
    result->fault = fault ? 1 : 0;
    result->rank = rank;
    result->top_count = top_count;
    result->logprob =
        wants_logprobs && token >= 0
            ? static_cast<float>(params.logits[r * params.row_stride + token] - log_sum)
            : 0.0f;
  };
  if (forced && !wants_logprobs) return finish(row.forced_token, false, 0, 0);

  if (reports) shared->top_count = 0;
  Best own = load_row(group, params.logits + r * params.row_stride, params.vocab);
  group.sync();  // the row is there, and so is every block
  if (row.allowed_row >= 0 && !forced) {
    const int64_t words = (params.vocab + 31) / 32;
    own = keep_allowed(group, params.allowed + row.allowed_row * words, params.vocab);
    group.sync();
  }

  const bool adjusted =
      !forced && (row.bias_count > 0 || row.banned_count > 0 || row.penalty_count > 0);
  uint64_t best = 0;
  double log_sum = 0;
  int top_count = 0;
  if (wants_logprobs || !adjusted) {
    best = group.largest(own.packed());
    if (best == kFaulty || packed_value(best) == -INFINITY) return finish(-1, true, 0, 0);
  }
  if (wants_logprobs) {
    const float largest = packed_value(best);
    add_up_exp<false>(group, largest, 1.0f, {0.0f, 0});
    log_sum = static_cast<double>(largest) + log(group.total(0));
    top_count = min(min(row.top_logprobs, kMaxTopLogprobs), params.vocab);
    if (top_count > 0) find_top(group, shared, top, top_count, log_sum, result);
  }
  if (forced) {
    if (row.forced_token >= params.vocab) return finish(-1, true, log_sum, top_count);
    const float own = params.logits[r * params.row_stride + row.forced_token];
    return finish(row.forced_token, false, log_sum, top_count, count_larger(group, own) + 1);
  }
  if (adjusted) {
    adjust(group, params, row);
    best = find_best(group);
    if (best == kFaulty || packed_value(best) == -INFINITY) return finish(-1, true, 0, 0);
  }
  if (row.temperature < kGreedyBelow || row.top_p <= 0.0f || row.top_k == 1) {
    return finish(packed_id(best), false, log_sum, top_count);
  }
  const Threshold kept = row.min_p > 0.0f ? Threshold{row.min_p, INT32_MAX} : Threshold{0.0f, 0};
  add_up_exp<true>(group, packed_value(best), 1.0f / row.temperature, kept);
  const int32_t token = draw(group, row, params.vocab, kept);
  finish(token, false, log_sum, top_count);
}

template <int kThreads, int kBlocks>
struct Layout {
  static constexpr size_t kBesideSlice =
      sizeof(Shared<kThreads, kBlocks>) + kMaxTopLogprobs * sizeof(Found);
  int slice_length;
  size_t shared_bytes;
  explicit Layout(int vocab) {
    slice_length = static_cast<int>(sampling_slice_length(vocab, kBlocks, kThreads));
    shared_bytes =
        kBesideSlice + (kBlocks > 1 ? sizeof(float) * static_cast<size_t>(slice_length) : 0);
  }
};
using ClusterLayout = Layout<kClusterThreads, kClusterBlocks>;
using SingleLayout = Layout<kSingleThreads, 1>;
static_assert(ClusterLayout::kBesideSlice <= kSamplingClusterBytesBesideSlice);

bool uses_cluster(int vocab) { return arch() >= 90 && sampling_fits_cluster(vocab); }

}  // namespace

cudaError_t launch_sampling(const SamplingParams& params, cudaStream_t stream) {
  if (params.vocab <= 0 || params.row_stride < params.vocab || params.max_rows < 0 ||
      params.max_rows > 65535) {
    return cudaErrorInvalidValue;
  }
  const auto rows = static_cast<unsigned>(params.max_rows);
  if (rows == 0) return cudaSuccess;
  if (!uses_cluster(params.vocab)) {
    if (params.workspace == nullptr) return cudaErrorInvalidValue;
    const SingleLayout layout(params.vocab);
    return launch(sampling_kernel<kSingleThreads, 1, 1>,
                  {dim3(1, rows), dim3(kSingleThreads), layout.shared_bytes}, stream, params,
                  layout.slice_length);
  }
  const ClusterLayout layout(params.vocab);
  const auto kernel = sampling_kernel<kClusterThreads, kClusterBlocks, kBlocksPerMultiprocessor>;
  const cudaError_t allowed = allow_shared_memory(kernel, layout.shared_bytes);
  if (allowed != cudaSuccess) return allowed;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = kClusterBlocks;
  cluster.val.clusterDim.y = 1;
  cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(kClusterBlocks, rows);
  config.blockDim = dim3(kClusterThreads);
  config.dynamicSmemBytes = layout.shared_bytes;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, params, layout.slice_length);
}

}  // namespace ernie::kernels
