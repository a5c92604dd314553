#include <type_traits>

#include "kernels/common/cluster.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/moe/router.h"
#include "kernels/moe/router_parts.cuh"

// A block has one warp for each of the 16 slices of hidden and a tile of tokens (rows of the matrix
// product) by experts (columns). Small batches take 16 tokens x 8 experts a block, so that many
// multiprocessors share the reading of the weights; large ones 32 x 64. One block of a token tile
// gets the logits of all and chooses the experts: where the blocks form a cluster, the first one,
// through its shared memory; else the one that is the last to write them.
namespace ernie::kernels::router {
namespace {

constexpr int kThreads = kSlices * 32;

template <int kTokenTiles, int kExpertTiles>
constexpr size_t kSharedBytes = size_t{kSlices} * 16 * kTokenTiles * 8 * kExpertTiles *
                                sizeof(float);

template <class T, int kTokenTiles, int kExpertTiles, bool kCluster>
__global__ __launch_bounds__(kThreads) void router_kernel(
    const __grid_constant__ MoeRouterParams p) {
  constexpr int kTokens = 16 * kTokenTiles;
  constexpr int kExperts = 8 * kExpertTiles;
  extern __shared__ float4 shared_memory[];
  float* partial = reinterpret_cast<float*>(shared_memory);  // [slice][token][expert]
  __shared__ bool is_last;
  __shared__ float all_logits[kCluster ? kTokens : 1][kMaxRouterExperts];
  let_next_kernel_start();

  const int text_tiles = static_cast<int>(ceil_div(p.experts[0], kExperts));
  const int modality = static_cast<int>(blockIdx.x) < text_tiles ? 0 : 1;
  const int experts = p.experts[modality];
  const int first_expert =
      (static_cast<int>(blockIdx.x) - (modality == 1 ? text_tiles : 0)) * kExperts;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int g = lane / 4;
  const int q = lane % 4;
  const int chunks = static_cast<int>(ceil_div(p.hidden, kChunk));
  const int begin = warp * chunks / kSlices;
  const int end = (warp + 1) * chunks / kSlices;

  // Weights and biases depend on no other kernel: they are loaded while the one before still runs.
  constexpr int kEarly = kExpertTiles == 1 ? 5 : 0;  // chunks
  const float* weights = p.router[modality] + 8 * q;
  const auto weight_at = [&](int e, int chunk) {
    const int expert = min(first_expert + 8 * e + g, experts - 1);
    return weights + static_cast<size_t>(expert) * p.hidden + chunk * kChunk;
  };
  const auto is_valid = [&](int chunk) { return chunk * kChunk + 8 * q < p.hidden; };
  Raw early[kEarly > 0 ? kEarly : 1];
#pragma unroll
  for (int i = 0; i < kEarly; ++i) {
    const int c = begin + i;
    early[i] = load_raw(weight_at(0, c), c < end && is_valid(c));
  }
  Biases biases{};
  if constexpr (kEarly > 0) biases = load_biases(p);
  if constexpr (kCluster) cluster_sync();  // the first block is there
  wait_for_previous_kernel();

  const int stride = max(p.experts[0], p.experts[1]);
  const auto is_mine = [&](int token) {
    return token < p.tokens && (!p.any_vision || (p.is_vision[token] != 0) == (modality == 1));
  };
  const bool work =
      __syncthreads_or(threadIdx.x < kTokens && is_mine(first_token + threadIdx.x)) != 0;
  if (work) {
    const T* x = static_cast<const T*>(p.x);
    const T* rows[kTokenTiles][2];
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = min(first_token + 16 * t + 8 * half + g, p.tokens - 1);
        rows[t][half] = x + static_cast<size_t>(token) * p.hidden + 8 * q;
      }
    }
    float sums[kTokenTiles][kExpertTiles][4] = {};
    const auto add_chunk = [&](int c, auto weights_of) {
      const int k = c * kChunk;
      Parts<kActivationParts<T>> a[kTokenTiles][2];
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          a[t][half] = load_parts(rows[t][half] + k, is_valid(c));
        }
      }
      multiply_chunk<T>(sums, a, weights_of);
    };
#pragma unroll
    for (int i = 0; i < kEarly; ++i) {
      if (begin + i < end) add_chunk(begin + i, [&](int) { return split(early[i]); });
    }
    constexpr int kUnroll = kExpertTiles == 1 && !std::is_same_v<T, float> ? 4 : 1;
#pragma unroll kUnroll
    for (int c = begin + kEarly; c < end; ++c) {
      add_chunk(c, [&](int e) { return load_parts(weight_at(e, c), is_valid(c)); });
    }
    float* slice = partial + warp * kTokens * kExperts;
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
    for (int i = threadIdx.x; i < kTokens * kExperts; i += kThreads) {
      const int token = first_token + i / kExperts;
      const int expert = first_expert + i % kExperts;
      if (expert >= experts || !is_mine(token)) continue;
      float sum = 0;
#pragma unroll
      for (int s = 0; s < kSlices; ++s) sum += partial[s * kTokens * kExperts + i];
      if constexpr (kCluster) {
        *cluster_address(&all_logits[i / kExperts][expert], 0) = sum;
      } else {
        p.logits[static_cast<size_t>(token) * stride + expert] = sum;
      }
    }
  }
  const auto choose_all = [&](auto logit) {
    if constexpr (kEarly == 0) biases = load_biases(p);
    for (int t = warp; t < kTokens; t += kSlices) {
      const int token = first_token + t;
      if (token >= p.tokens) break;
      choose_experts<T>(p, biases, token, p.any_vision && p.is_vision[token] != 0 ? 1 : 0,
                        [&](int expert) { return logit(t, expert); });
    }
  };
  if constexpr (kCluster) {
    cluster_sync();
    if (blockIdx.x == 0) choose_all([&](int t, int expert) { return all_logits[t][expert]; });
    return;
  }

  // The block that arrives last sees the logits of all. Which one that is changes nothing.
  __syncthreads();
  if (gridDim.x > 1) {
    if (threadIdx.x == 0) {
      __threadfence();
      is_last = atomicAdd(p.arrivals + blockIdx.y, 1u) == gridDim.x - 1;
      if (is_last) p.arrivals[blockIdx.y] = 0;
      __threadfence();
    }
    __syncthreads();
    if (!is_last) return;
  }
  choose_all([&](int t, int expert) {
    return __ldcg(p.logits + static_cast<size_t>(first_token + t) * stride + expert);
  });
}

template <class T, int kTokenTiles, int kExpertTiles>
cudaError_t launch_tiled(const MoeRouterParams& p, cudaStream_t stream) {
  constexpr size_t kBytes = kSharedBytes<kTokenTiles, kExpertTiles>;
  constexpr unsigned kMostClusterBlocks = 8;
  const auto blocks =
      static_cast<unsigned>(ceil_div(p.experts[0], 8 * kExpertTiles) +
                            (p.any_vision ? ceil_div(p.experts[1], 8 * kExpertTiles) : 0));
  const bool cluster = kExpertTiles == 1 && arch() >= 90 && blocks <= kMostClusterBlocks;
  const auto kernel = cluster ? router_kernel<T, kTokenTiles, kExpertTiles, kExpertTiles == 1>
                              : router_kernel<T, kTokenTiles, kExpertTiles, false>;
  if (const cudaError_t error = allow_shared_memory(kernel, kBytes); error != cudaSuccess) {
    return error;
  }
  return launch(kernel,
                {.grid = dim3(blocks, static_cast<unsigned>(ceil_div(p.tokens, 16 * kTokenTiles))),
                 .block = dim3(kThreads),
                 .shared_bytes = kBytes,
                 .overlap_previous = true,
                 .cluster = cluster ? blocks : 1},
                stream, p);
}

template <class T>
cudaError_t launch_typed(const MoeRouterParams& p, cudaStream_t stream) {
  // From about 512 tokens on, 16 x 8 tiles would read the weights from L2 more often than they
  // compute.
  if (p.tokens > 512) return launch_tiled < T, std::is_same_v<T, float> ? 1 : 2, 8 > (p, stream);
  return launch_tiled<T, 1, 1>(p, stream);
}

}  // namespace
}  // namespace ernie::kernels::router

namespace ernie::kernels {

bool is_valid(const MoeRouterParams& p) {
  if (p.tokens < 0 || p.hidden <= 0 || p.hidden % 8 != 0 || p.top_k <= 0 || p.top_k > kMaxTopK ||
      (p.any_vision && p.is_vision == nullptr)) {
    return false;
  }
  for (int m = 0; m < 2; ++m) {
    const bool used = m == 1 ? p.any_vision : !p.any_vision;
    if (p.experts[m] < 0 || p.experts[m] > kMaxRouterExperts ||
        (p.experts[m] > 0 && (p.experts[m] < p.top_k || p.router[m] == nullptr)) ||
        (used && p.experts[m] == 0)) {
      return false;
    }
  }
  return true;
}

cudaError_t launch_moe_router(const MoeRouterParams& p, cudaStream_t stream) {
  if (p.tokens == 0) return cudaSuccess;
  if (!is_valid(p)) return cudaErrorInvalidValue;
  return p.type == ElementType::kBF16 ? router::launch_typed<__nv_bfloat16>(p, stream)
                                      : router::launch_typed<float>(p, stream);
}

}  // namespace ernie::kernels
