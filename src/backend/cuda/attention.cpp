#include <algorithm>
#include <string>

#include "backend/cuda/cuda_backend.h"
#include "base/check.h"
#include "kernels/attention/paged_attention.h"
#include "kernels/attention/vision_attention.h"
#include "kernels/rope/rope_kv_write.h"
#include "kernels/rope/vision_rope.h"

namespace ernie::cuda {
namespace {

void check_cache(const ops::KvLayer& kv, TensorView qkv, int q_heads, const char* what) {
  CHECK(kv.keys.dtype == qkv.dtype && kv.values.dtype == qkv.dtype &&
            kv.keys.shape == kv.values.shape && kv.kv_heads > 0 && q_heads % kv.kv_heads == 0 &&
            qkv.cols() == int64_t{q_heads + 2 * kv.kv_heads} * kv.head_dim,
        std::string(what) + ": qkv " + qkv.shape.to_string() + ", keys " +
            kv.keys.shape.to_string() + ", " + std::to_string(q_heads) + " query heads, " +
            std::to_string(kv.kv_heads) + " key heads of " + std::to_string(kv.head_dim));
}

}  // namespace

void CudaBackend::rope_kv_write(const ops::RopeKvWriteArgs& a) {
  check_cache(a.kv, a.qkv, a.q_heads, "rope_kv_write");
  CHECK(a.positions.dtype == DType::kI32 && a.positions.shape == Shape({a.qkv.rows(), 3}) &&
            a.slots.dtype == DType::kI32 && a.slots.shape.elements() == a.qkv.rows() &&
            static_cast<int>(a.rope->inv_freq.size()) * 2 == a.kv.head_dim &&
            a.rope->axis.size() == a.rope->inv_freq.size(),
        "rope_kv_write: positions " + a.positions.shape.to_string() + ", slots " +
            a.slots.shape.to_string() + ", " + std::to_string(a.rope->inv_freq.size()) +
            " frequencies");
  check(kernels::launch_rope_kv_write({.type = element_type(a.qkv.dtype),
                                       .qkv = a.qkv.data,
                                       .positions = a.positions.as<const int32_t>(),
                                       .slots = a.slots.as<const int32_t>(),
                                       .inv_freq = host_copies_.get(a.rope->inv_freq),
                                       .axis = host_copies_.get(a.rope->axis),
                                       .keys = a.kv.keys.data,
                                       .values = a.kv.values.data,
                                       .tokens = static_cast<int>(a.qkv.rows()),
                                       .q_heads = a.q_heads,
                                       .kv_heads = a.kv.kv_heads,
                                       .head_dim = a.kv.head_dim,
                                       .block_size = a.kv.block_size},
                                      stream()),
        "launch of rope_kv_write");
}

void CudaBackend::paged_attention(const ops::PagedAttentionArgs& a) {
  check_cache(a.kv, a.qkv, a.q_heads, "paged_attention");
  const ops::AttentionBatch& batch = *a.batch;
  CHECK(a.out.dtype == a.qkv.dtype && a.out.rows() == a.qkv.rows() &&
            a.out.cols() == int64_t{a.q_heads} * a.kv.head_dim &&
            batch.query_start.shape.elements() == batch.num_seqs + 1 &&
            batch.context_len.shape.elements() == batch.num_seqs &&
            batch.block_tables.rows() == batch.num_seqs,
        "paged_attention: out " + a.out.shape.to_string() + ", block_tables " +
            batch.block_tables.shape.to_string());
  const int tokens = static_cast<int>(a.qkv.rows());
  const int max_blocks = static_cast<int>(batch.block_tables.cols());
  const size_t bytes = kernels::paged_attention_workspace_bytes(
      batch.num_seqs, tokens, a.q_heads, a.kv.head_dim, int64_t{max_blocks} * a.kv.block_size);
  void* workspace = attention_.get(bytes);
  check(kernels::launch_paged_attention({.type = element_type(a.qkv.dtype),
                                         .qkv = a.qkv.data,
                                         .out = a.out.data,
                                         .keys = a.kv.keys.data,
                                         .values = a.kv.values.data,
                                         .query_start = batch.query_start.as<const int32_t>(),
                                         .context_len = batch.context_len.as<const int32_t>(),
                                         .block_tables = batch.block_tables.as<const int32_t>(),
                                         .max_blocks = max_blocks,
                                         .num_seqs = batch.num_seqs,
                                         .max_query_len = batch.max_query_len,
                                         .tokens = tokens,
                                         .q_heads = a.q_heads,
                                         .kv_heads = a.kv.kv_heads,
                                         .head_dim = a.kv.head_dim,
                                         .block_size = a.kv.block_size,
                                         .workspace = workspace,
                                         .workspace_bytes = attention_.bytes()},
                                        stream()),
        "launch of paged_attention");
}

void CudaBackend::vision_rope(const ops::VisionRopeArgs& a) {
  CHECK(a.qkv.cols() == int64_t{3} * a.heads * a.head_dim && a.positions.dtype == DType::kI32 &&
            a.positions.shape == Shape({a.qkv.rows(), 2}),
        "vision_rope: qkv " + a.qkv.shape.to_string() + ", positions " +
            a.positions.shape.to_string());
  check(kernels::launch_vision_rope({.type = element_type(a.qkv.dtype),
                                     .qkv = a.qkv.data,
                                     .positions = a.positions.as<const int32_t>(),
                                     .patches = static_cast<int>(a.qkv.rows()),
                                     .heads = a.heads,
                                     .head_dim = a.head_dim,
                                     .theta = a.theta},
                                    stream()),
        "launch of vision_rope");
}

void CudaBackend::vision_attention(const ops::VisionAttentionArgs& a) {
  CHECK(a.qkv.cols() == int64_t{3} * a.heads * a.head_dim && a.out.dtype == a.qkv.dtype &&
            a.out.rows() == a.qkv.rows() && a.out.cols() == int64_t{a.heads} * a.head_dim &&
            !a.segment_start.empty() && a.segment_start.back() == a.qkv.rows(),
        "vision_attention: qkv " + a.qkv.shape.to_string() + ", out " + a.out.shape.to_string() +
            ", " + std::to_string(a.segment_start.size()) + " segment bounds");
  int longest = 0;
  for (size_t s = 1; s < a.segment_start.size(); ++s) {
    longest = std::max(longest, a.segment_start[s] - a.segment_start[s - 1]);
  }
  auto* segments = segments_.get_array<int32_t>(static_cast<int64_t>(a.segment_start.size()));
  upload(segments, a.segment_start.data(), a.segment_start.size_bytes());
  check(kernels::launch_vision_attention({.type = element_type(a.qkv.dtype),
                                          .qkv = a.qkv.data,
                                          .out = a.out.data,
                                          .segment_start = segments,
                                          .segments = static_cast<int>(a.segment_start.size()) - 1,
                                          .max_segment = longest,
                                          .heads = a.heads,
                                          .head_dim = a.head_dim},
                                         stream()),
        "launch of vision_attention");
}

}  // namespace ernie::cuda
