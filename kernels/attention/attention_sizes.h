#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/common/element_type.h"
#include "kernels/common/host_device.h"

// The workspace of paged attention, from the shapes alone.
namespace ernie::kernels {

constexpr size_t kAttentionCounterBytes = size_t{256} * 1024;

// The keys of one sequence are cut for decoding every so many keys, whatever else is in the batch.
constexpr int kMinSplitKeys = 256;
constexpr int kMaxSplits = 64;

namespace attention {

// Keys of one split of a context; a multiple of 64. A function of the context alone.
ERNIE_HOST_DEVICE constexpr int64_t split_keys(int64_t context) {
  const int64_t even = (context + kMaxSplits - 1) / kMaxSplits;
  const int64_t rounded = (even + 63) / 64 * 64;
  return rounded < kMinSplitKeys ? kMinSplitKeys : rounded;
}
ERNIE_HOST_DEVICE constexpr int64_t split_count(int64_t context) {
  const int64_t keys = split_keys(context);
  return context <= 0 ? 1 : (context + keys - 1) / keys;
}
// Of any context up to this one. (The count itself falls where the splits grow longer.)
constexpr int64_t most_splits(int64_t max_context) {
  const int64_t shortest = (max_context + kMinSplitKeys - 1) / kMinSplitKeys;
  return shortest < 1 ? 1 : shortest > kMaxSplits ? kMaxSplits : shortest;
}

// For each split of each query head: its sum, its largest score and its sum of weights.
constexpr size_t decode_partial_bytes(int num_seqs, int q_heads, int head_dim,
                                      int64_t max_context_len) {
  const int64_t states = most_splits(max_context_len) * num_seqs * q_heads;
  return static_cast<size_t>(states) * (static_cast<size_t>(head_dim) + 2) * sizeof(float);
}

// The plan of the prefill kernel for sm_90a: where the work of each block begins, then arrays with
// one number for each work. All begin at multiples of 64 numbers.
constexpr int kMostPrefillBlocks = 511;  // one on each multiprocessor
constexpr int kPrefillPlanArrays = 6;
constexpr int kPrefillPlanRows = 128;  // of the smallest tile
constexpr int64_t prefill_plan_stride(int64_t numbers) { return (numbers + 63) / 64 * 64; }
constexpr int64_t most_prefill_works(int num_seqs, int tokens) {
  return tokens / kPrefillPlanRows + num_seqs;
}
constexpr size_t prefill_plan_bytes(int num_seqs, int tokens) {
  return static_cast<size_t>(prefill_plan_stride(kMostPrefillBlocks + 1) +
                             kPrefillPlanArrays *
                                 prefill_plan_stride(most_prefill_works(num_seqs, tokens))) *
         sizeof(int32_t);
}

// The tables of expanded contexts, at a multiple of 256 bytes.
constexpr size_t expanded_table_bytes(int num_seqs, int64_t max_blocks) {
  return (static_cast<size_t>(num_seqs) * static_cast<size_t>(max_blocks) * sizeof(int32_t) + 255) /
         256 * 256;
}
// Keys and values of one expanded page.
constexpr size_t expanded_page_bytes(int kv_heads, int head_dim, int block_size) {
  return size_t{2} * sizeof(uint16_t) * static_cast<size_t>(kv_heads) *
         static_cast<size_t>(head_dim) * static_cast<size_t>(block_size);
}

}  // namespace attention

// Whether the kernels for tensor cores take the shape.
constexpr bool attention_on_tensor_cores(ElementType type, int head_dim) {
  return type == ElementType::kBF16 && (head_dim == 64 || head_dim == 128);
}

// What a launch with at most these sizes needs. max_context_len is max_blocks * block_size.
constexpr size_t paged_attention_workspace_bytes(int num_seqs, int tokens, int q_heads,
                                                 int head_dim, int64_t max_context_len) {
  const size_t bytes =
      kAttentionCounterBytes +
      std::max(attention::decode_partial_bytes(num_seqs, q_heads, head_dim, max_context_len),
               attention::prefill_plan_bytes(num_seqs, tokens));
  return (bytes + 255) / 256 * 256;
}

// What a launch with more than one query of a sequence needs behind that where the cache is
// quantised and tensor cores are used: one context of max_blocks in bfloat16. With room for more,
// more sequences are computed at a time.
constexpr size_t expanded_cache_bytes(int num_seqs, int64_t max_blocks, int kv_heads, int head_dim,
                                      int block_size) {
  return attention::expanded_table_bytes(num_seqs, max_blocks) +
         static_cast<size_t>(max_blocks) *
             attention::expanded_page_bytes(kv_heads, head_dim, block_size);
}

}  // namespace ernie::kernels
