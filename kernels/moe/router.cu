#include <type_traits>

#include "kernels/common/cluster.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/router.h"

// hidden is cut into quarters and each into 16 slices, one for each warp of a block; a logit is the
// sum of the quarters' sums of slices, each in order. A block has a tile of tokens (rows of the
// matrix product) by experts (columns). Small batches take 16 tokens x 8 experts, so that many
// multiprocessors share the reading of the weights, and where there are clusters a block for each
// quarter; large ones 32 x 64. The block that is the last to write its logits of a token tile
// chooses the experts.
namespace ernie::kernels {
namespace {

constexpr int kQuarters = 4;
constexpr int kSlices = 16;
constexpr int kThreads = kSlices * 32;
constexpr int kChunk = 32;  // of hidden: two matrix products; a lane holds 8 neighbours of each row
constexpr int kLaneExperts = kMaxRouterExperts / 32;

// Values as sums of bfloat16 parts, packed in pairs: part i of 8 neighbours is v[i][0..3].
template <int kParts>
struct Parts {
  uint32_t v[kParts][4];
};

// x as the sum of three bfloat16: each part takes the next 8 bits of the mantissa, so nothing is
// lost (but for parts below the smallest normal number).
__device__ __forceinline__ void split(const float* x, Parts<3>& out) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float low = x[2 * i];
    float high = x[2 * i + 1];
#pragma unroll
    for (int part = 0; part < 3; ++part) {
      const uint32_t packed = pack_bf16(low, high);
      out.v[part][i] = packed;
      low -= __uint_as_float(packed << 16);
      high -= __uint_as_float(packed & 0xffff0000u);
    }
  }
}

__device__ __forceinline__ Parts<3> load_parts(const float* p, bool valid) {
  float x[8] = {};
  if (valid) {
    const float4 a = *reinterpret_cast<const float4*>(p);
    const float4 b = *reinterpret_cast<const float4*>(p + 4);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
    x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
  }
  Parts<3> out;
  split(x, out);
  return out;
}
__device__ __forceinline__ Parts<1> load_parts(const __nv_bfloat16* p, bool valid) {
  uint4 x{};
  if (valid) x = *reinterpret_cast<const uint4*>(p);
  return {{{x.x, x.y, x.z, x.w}}};
}

template <class T>
constexpr int kActivationParts = std::is_same_v<T, float> ? 3 : 1;

// Scores in the order of unsigned integers; 0 stands for "not there".
__device__ __forceinline__ uint32_t sortable(float x) {
  const uint32_t bits = __float_as_uint(x);
  return max(1u, bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

// One warp chooses the experts of one token; logit(expert) reads a logit.
template <class T, class Logit>
__device__ void choose_experts(const MoeRouterParams& p, int token, int modality, Logit logit) {
  const int lane = threadIdx.x % 32;
  const int experts = p.experts[modality];
  const float* bias = p.bias[modality];
  float probability[kLaneExperts];
  float top = -INFINITY;
#pragma unroll
  for (int i = 0; i < kLaneExperts; ++i) {
    const int e = lane + 32 * i;
    probability[i] = e < experts ? logit(e) : -INFINITY;
    top = fmaxf(top, probability[i]);
  }
  top = warp_max(top);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kLaneExperts; ++i) {
    probability[i] = lane + 32 * i < experts ? expf(probability[i] - top) : 0.0f;
    sum += probability[i];
  }
  sum = warp_sum(sum);
  uint32_t key[kLaneExperts];
#pragma unroll
  for (int i = 0; i < kLaneExperts; ++i) {
    const int e = lane + 32 * i;
    probability[i] /= sum;
    key[i] = e < experts ? sortable(probability[i] + (bias != nullptr ? bias[e] : 0.0f)) : 0;
  }

  float chosen_sum = 0;
  float my_probability = 0;
  int my_expert = 0;
  for (int k = 0; k < p.top_k; ++k) {
    uint32_t best = 0;
#pragma unroll
    for (int i = 0; i < kLaneExperts; ++i) best = max(best, key[i]);
    best = __reduce_max_sync(kAllLanes, best);
    unsigned candidate = ~0u;
#pragma unroll
    for (int i = kLaneExperts - 1; i >= 0; --i) {
      if (key[i] == best) candidate = static_cast<unsigned>(lane + 32 * i);
    }
    const int expert = static_cast<int>(__reduce_min_sync(kAllLanes, candidate));
    float mine = 0;
#pragma unroll
    for (int i = 0; i < kLaneExperts; ++i) {
      if (lane + 32 * i != expert) continue;
      mine = probability[i];
      key[i] = 0;
    }
    const float chosen = __shfl_sync(kAllLanes, mine, expert % 32);
    chosen_sum += chosen;
    if (lane == k) {
      my_probability = chosen;
      my_expert = expert;
    }
  }
  if (lane < p.top_k) {
    const size_t at = static_cast<size_t>(token) * p.top_k + lane;
    p.expert_ids[at] = my_expert + (modality == 1 ? p.experts[0] : 0);
    p.expert_weights[at] = to_float(from_float<T>(my_probability / fmaxf(chosen_sum, p.norm_min)));
  }
}

template <int kTokenTiles, int kExpertTiles>
constexpr size_t kSharedBytes = size_t{kSlices} * 16 * kTokenTiles * 8 * kExpertTiles *
                                sizeof(float);

// sum += x of 16 tokens * weights of 8 experts, for one chunk of hidden.
template <int kParts>
__device__ __forceinline__ void multiply_chunk(const Parts<kParts> (&a)[2], const Parts<3>& b,
                                               float (&sum)[4]) {
#pragma unroll
  for (int step = 0; step < 4; step += 2) {
#pragma unroll
    for (int i = kParts - 1; i >= 0; --i) {
#pragma unroll
      for (int j = 2; j >= 0; --j) {
        multiply_add(sum, a[0].v[i][step], a[1].v[i][step], a[0].v[i][step + 1],
                     a[1].v[i][step + 1], b.v[j][step], b.v[j][step + 1]);
      }
    }
  }
}

// kCluster: a cluster of blocks, one for each quarter of hidden, whose first block adds them up.
// Else a block goes through all quarters.
template <class T, int kTokenTiles, int kExpertTiles, bool kCluster>
__global__ __launch_bounds__(kThreads) void router_kernel(
    const __grid_constant__ MoeRouterParams p) {
  constexpr int kTokens = 16 * kTokenTiles;
  constexpr int kExperts = 8 * kExpertTiles;
  constexpr int kLogits = kTokens * kExperts;
  constexpr int kPerThread = (kLogits + kThreads - 1) / kThreads;
  constexpr int kBlocks = kCluster ? kQuarters : 1;
  extern __shared__ float4 shared_memory[];
  float* partial = reinterpret_cast<float*>(shared_memory);  // [slice][token][expert]
  __shared__ float quarter_sums[kCluster ? kQuarters : 1][kCluster ? kLogits : 1];
  __shared__ bool is_last;
  let_next_kernel_start();

  const int tile = static_cast<int>(blockIdx.x) / kBlocks;
  const int tiles = static_cast<int>(gridDim.x) / kBlocks;
  const int my_quarter = static_cast<int>(blockIdx.x) % kBlocks;
  const int text_tiles = static_cast<int>(ceil_div(p.experts[0], kExperts));
  const int modality = tile < text_tiles ? 0 : 1;
  const int experts = p.experts[modality];
  const int first_expert = (tile - (modality == 1 ? text_tiles : 0)) * kExperts;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const int chunks = static_cast<int>(ceil_div(p.hidden, kChunk));
  const auto slice_begin = [&](int quarter, int slice) {
    return (quarter * kSlices + slice) * chunks / (kQuarters * kSlices);
  };
  const float* weights = p.router[modality] + 8 * q;
  const auto load_weights = [&](int e, int c, int end) {
    const int expert = min(first_expert + 8 * e + g, experts - 1);
    const int k = c * kChunk;
    return load_parts(weights + static_cast<size_t>(expert) * p.hidden + k,
                      c < end && k + 8 * q < p.hidden);
  };

  // Weights depend on no other kernel: a block that has one quarter of few experts holds its first
  // chunks when the kernel before ends.
  constexpr int kHeld = !kCluster ? 1 : std::is_same_v<T, float> ? 2 : 4;
  Parts<3> held[kHeld];
  if constexpr (kCluster) {
    const int begin = slice_begin(my_quarter, warp);
    const int end = slice_begin(my_quarter, warp + 1);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) held[i] = load_weights(0, begin + i, end);
    cluster_arrive();
  }
  wait_for_previous_kernel();

  const int stride = max(p.experts[0], p.experts[1]);
  const auto is_mine = [&](int token) {
    return token < p.tokens && (!p.any_vision || (p.is_vision[token] != 0) == (modality == 1));
  };
  const bool work =
      __syncthreads_or(threadIdx.x < kTokens && is_mine(first_token + threadIdx.x)) != 0;
  using Tokens = Parts<kActivationParts<T>>[2];
  const auto load_tokens = [&](int t, int c, int end, Tokens& out) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = min(first_token + 16 * t + 8 * half + g, p.tokens - 1);
      const int k = c * kChunk + 8 * q;
      out[half] = load_parts(static_cast<const T*>(p.x) + static_cast<size_t>(token) * p.hidden + k,
                             c < end && k < p.hidden);
    }
  };
  float logits[kPerThread] = {};
  for (int quarter = my_quarter; work && quarter < my_quarter + kQuarters / kBlocks; ++quarter) {
    float sums[kTokenTiles][kExpertTiles][4] = {};
    const int end = slice_begin(quarter, warp + 1);
    int c = slice_begin(quarter, warp);
    if constexpr (kCluster) {
      Tokens a[kHeld];
#pragma unroll
      for (int i = 0; i < kHeld; ++i) load_tokens(0, c + i, end, a[i]);
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        if (c + i < end) multiply_chunk(a[i], held[i], sums[0][0]);
      }
      c += kHeld;
    }
    for (; c < end; ++c) {
      Tokens a[kTokenTiles];
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) load_tokens(t, c, end, a[t]);
#pragma unroll
      for (int e = 0; e < kExpertTiles; ++e) {
        const Parts<3> b = load_weights(e, c, end);
#pragma unroll
        for (int t = 0; t < kTokenTiles; ++t) multiply_chunk(a[t], b, sums[t][e]);
      }
    }
    float* slice = partial + warp * kLogits;
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
      for (int e = 0; e < kExpertTiles; ++e) {
        float* at = slice + (16 * t + g) * kExperts + 8 * e + 2 * q;
        *reinterpret_cast<float2*>(at) = make_float2(sums[t][e][0], sums[t][e][1]);
        *reinterpret_cast<float2*>(at + 8 * kExperts) = make_float2(sums[t][e][2], sums[t][e][3]);
      }
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kPerThread; ++n) {
      const int i = n * kThreads + static_cast<int>(threadIdx.x);
      if (i >= kLogits) break;
      float sum = 0;
#pragma unroll
      for (int s = 0; s < kSlices; ++s) sum += partial[s * kLogits + i];
      logits[n] += sum;
    }
    if constexpr (!kCluster) __syncthreads();  // before the next quarter is written
  }
  if constexpr (kCluster) {
    const int i = static_cast<int>(threadIdx.x);
    cluster_wait();  // the first block is there
    if (i < kLogits) *cluster_address(&quarter_sums[my_quarter][i], 0) = logits[0];
    cluster_sync();
    if (my_quarter != 0) return;
    if (i < kLogits) {
      logits[0] = 0;
#pragma unroll
      for (int quarter = 0; quarter < kQuarters; ++quarter) logits[0] += quarter_sums[quarter][i];
    }
  }
#pragma unroll
  for (int n = 0; n < kPerThread; ++n) {
    const int i = n * kThreads + static_cast<int>(threadIdx.x);
    const int token = first_token + i / kExperts;
    const int expert = first_expert + i % kExperts;
    if (i >= kLogits || expert >= experts || !is_mine(token)) continue;
    p.logits[static_cast<size_t>(token) * stride + expert] = logits[n];
  }

  // The block that arrives last sees the logits of all. Which one that is changes nothing.
  __syncthreads();
  if (tiles > 1) {
    if (threadIdx.x == 0) {
      __threadfence();
      is_last = atomicAdd(p.arrivals + blockIdx.y, 1u) == static_cast<unsigned>(tiles) - 1;
      if (is_last) p.arrivals[blockIdx.y] = 0;
      __threadfence();
    }
    __syncthreads();
    if (!is_last) return;
  }
  for (int t = warp; t < kTokens; t += kSlices) {
    const int token = first_token + t;
    if (token >= p.tokens) break;
    choose_experts<T>(p, token, p.any_vision && p.is_vision[token] != 0 ? 1 : 0, [&](int expert) {
      return __ldcg(p.logits + static_cast<size_t>(token) * stride + expert);
    });
  }
}

template <class T, int kTokenTiles, int kExpertTiles>
cudaError_t launch_tiled(const MoeRouterParams& p, cudaStream_t stream) {
  constexpr size_t kBytes = kSharedBytes<kTokenTiles, kExpertTiles>;
  // With more tokens there are blocks enough without.
  constexpr int kMostClusterTokens = 128;
  const bool cluster = kExpertTiles == 1 && arch() >= 90 && p.tokens <= kMostClusterTokens;
  const auto kernel = cluster ? router_kernel<T, kTokenTiles, kExpertTiles, kExpertTiles == 1>
                              : router_kernel<T, kTokenTiles, kExpertTiles, false>;
  if (const cudaError_t error = allow_shared_memory(kernel, kBytes); error != cudaSuccess) {
    return error;
  }
  const int64_t tiles = ceil_div(p.experts[0], 8 * kExpertTiles) +
                        (p.any_vision ? ceil_div(p.experts[1], 8 * kExpertTiles) : 0);
  const unsigned blocks = cluster ? kQuarters : 1;
  return launch(kernel,
                {.grid = dim3(static_cast<unsigned>(tiles) * blocks,
                              static_cast<unsigned>(ceil_div(p.tokens, 16 * kTokenTiles))),
                 .block = dim3(kThreads),
                 .shared_bytes = kBytes,
                 .overlap_previous = true,
                 .cluster = blocks},
                stream, p);
}

template <class T>
cudaError_t launch_typed(const MoeRouterParams& p, cudaStream_t stream) {
  // From about 1024 tokens on, 16 x 8 tiles would read the weights from L2 more often than they
  // compute.
  if (p.tokens > 1024) return launch_tiled < T, std::is_same_v<T, float> ? 1 : 2, 8 > (p, stream);
  return launch_tiled<T, 1, 1>(p, stream);
}

}  // namespace

cudaError_t launch_moe_router(const MoeRouterParams& p, cudaStream_t stream) {
  if (p.tokens == 0) return cudaSuccess;
  if (p.tokens < 0 || p.hidden <= 0 || p.hidden % 8 != 0 || p.top_k <= 0 || p.top_k > kMaxTopK ||
      (p.any_vision && p.is_vision == nullptr)) {
    return cudaErrorInvalidValue;
  }
  for (int m = 0; m < 2; ++m) {
    const bool used = m == 1 ? p.any_vision : !p.any_vision;
    if (p.experts[m] < 0 || p.experts[m] > kMaxRouterExperts ||
        (p.experts[m] > 0 && (p.experts[m] < p.top_k || p.router[m] == nullptr)) ||
        (used && p.experts[m] == 0)) {
      return cudaErrorInvalidValue;
    }
  }
  return p.type == ElementType::kBF16 ? launch_typed<__nv_bfloat16>(p, stream)
                                      : launch_typed<float>(p, stream);
}

}  // namespace ernie::kernels
