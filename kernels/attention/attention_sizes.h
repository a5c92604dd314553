#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

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

}  // namespace attention

// What a launch with at most these sizes needs. max_context_len is max_blocks * block_size.
constexpr size_t paged_attention_workspace_bytes(int num_seqs, int tokens, int q_heads,
                                                 int head_dim, int64_t max_context_len) {
  return kAttentionCounterBytes +
         std::max(attention::decode_partial_bytes(num_seqs, q_heads, head_dim, max_context_len),
                  attention::prefill_plan_bytes(num_seqs, tokens));
}

}  // namespace ernie::kernels
