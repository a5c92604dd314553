#include <algorithm>
#include <vector>

#include "kernels/attention/paged_attention.h"
#include "kernels/testing/bench.h"

namespace ernie::kernels {
namespace {

constexpr int kBlockSize = 64;

struct Geometry {
  const char* name;
  int q_heads;
  int kv_heads;
  int head_dim;
};
// The shares of one GPU.
const Geometry kGeometries[] = {{"28B", 20, 4, 128}, {"424B, tensor parallel 4", 16, 2, 128}};

constexpr CacheType kCaches[] = {CacheType::kPlain, CacheType::kInt8, CacheType::kE4m3};
constexpr const char* kCacheNames[] = {"", ", int8", ", e4m3"};

// Sequences of `queries` last tokens of `context`, one after the other in `copies` caches, so that
// successive launches find theirs cold.
void measure(const Geometry& g, int seqs, int queries, int context,
             CacheType cache = CacheType::kPlain) {
  const int blocks_per_seq = (context + kBlockSize - 1) / kBlockSize;
  const bool has_cells = cache != CacheType::kPlain;
  const size_t rows = static_cast<size_t>(seqs) * blocks_per_seq * kBlockSize * g.kv_heads;
  const size_t cache_bytes = rows * g.head_dim * (has_cells ? 1 : 2);
  const size_t scale_bytes = has_cells ? rows * 2 * 2 : 0;
  const int copies = std::clamp(static_cast<int>((size_t{256} << 20) / cache_bytes), 1, 20);
  std::vector<int32_t> tables, starts{0}, lengths;
  for (int b = 0; b < copies * seqs * blocks_per_seq; ++b) tables.push_back(b);
  for (int s = 0; s < seqs; ++s) {
    starts.push_back(starts.back() + queries);
    lengths.push_back(context);
  }
  const auto upload = [](const std::vector<int32_t>& v) {
    return static_cast<int32_t*>(bench::allocate_and_copy(v.data(), v.size() * sizeof(int32_t)));
  };
  const size_t tokens = static_cast<size_t>(seqs) * queries;
  const size_t width = static_cast<size_t>(g.q_heads + 2 * g.kv_heads) * g.head_dim;
  PagedAttentionParams p;
  p.qkv = bench::allocate_random(tokens * width * 2, true);
  p.out = bench::allocate_zeroed(tokens * static_cast<size_t>(g.q_heads * g.head_dim) * 2);
  p.cache = cache;
  p.keys = bench::allocate_random(cache_bytes * static_cast<size_t>(copies), !has_cells);
  p.values = bench::allocate_random(cache_bytes * static_cast<size_t>(copies), !has_cells);
  if (has_cells) {
    p.scales = bench::allocate_random(scale_bytes * static_cast<size_t>(copies), true);
  }
  p.host_query_start = starts.data();
  p.host_context_len = lengths.data();
  p.query_start = upload(starts);
  p.context_len = upload(lengths);
  int32_t* all_tables = upload(tables);
  p.max_blocks = blocks_per_seq;
  p.num_seqs = seqs;
  p.max_query_len = queries;
  p.tokens = static_cast<int>(tokens);
  p.q_heads = g.q_heads;
  p.kv_heads = g.kv_heads;
  p.head_dim = g.head_dim;
  p.block_size = kBlockSize;
  p.workspace_bytes =
      paged_attention_workspace_bytes(seqs, p.tokens, g.q_heads, g.head_dim, context + kBlockSize);
  if (has_cells && queries > 1) {
    p.expanded_bytes =
        expanded_cache_bytes(seqs, blocks_per_seq, g.kv_heads, g.head_dim, kBlockSize);
  }
  p.workspace = bench::allocate_zeroed(p.workspace_bytes);
  p.expanded = bench::allocate_zeroed(p.expanded_bytes);
  const double time = bench::time_launches([&](cudaStream_t stream, int index) {
    PagedAttentionParams own = p;
    own.block_tables = all_tables + static_cast<int64_t>(index % copies) * seqs * blocks_per_seq;
    return launch_paged_attention(own, stream);
  });
  double pairs = 0;  // of a query and a key, of one head
  for (int i = 0; i < queries; ++i) pairs += context - i;
  const std::string what = std::string(g.name) + ", " + std::to_string(seqs) + " x " +
                           std::to_string(queries) + " of " + std::to_string(context) +
                           kCacheNames[static_cast<int>(cache)];
  const double bytes = static_cast<double>(2 * cache_bytes + scale_bytes);
  bench::report(what, time, queries == 1 ? bytes : 0,
                queries == 1 ? 0 : 4.0 * g.head_dim * g.q_heads * seqs * pairs);
  for (const void* memory :
       {p.qkv, static_cast<const void*>(p.out), p.keys, p.values, p.scales,
        static_cast<const void*>(p.query_start), static_cast<const void*>(p.context_len),
        static_cast<const void*>(all_tables), static_cast<const void*>(p.workspace),
        static_cast<const void*>(p.expanded)}) {
    bench::check(cudaFree(const_cast<void*>(memory)), "free");
  }
}

KERNEL_BENCH(decode) {
  for (const CacheType cache : kCaches) {
    for (const Geometry& g : kGeometries) {
      for (int seqs : {1, 8, 64}) measure(g, seqs, 1, 4096, cache);
    }
    measure(kGeometries[0], 1, 1, 131072, cache);
    measure(kGeometries[0], 16, 1, 32768, cache);
  }
}

// ERNIE_CUDA_ARCH=80 measures the kernel for sm_80.
KERNEL_BENCH(prefill) {
  for (const CacheType cache : kCaches) {
    for (const Geometry& g : kGeometries) {
      measure(g, 1, 8192, 8192, cache);
      measure(g, 4, 2048, 2048, cache);
      measure(g, 1, 2048, 32768, cache);
    }
  }
}

}  // namespace
}  // namespace ernie::kernels
