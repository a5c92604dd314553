#pragma once

#include <cstddef>
#include <cstdint>

// What launch_sampling() reads and writes for each row, and the memory that it works in.
namespace ernie::kernels {

constexpr int kMaxTopLogprobs = 32;

// One row's parameters, in device memory. The *_begin are indices into the arrays of
// SamplingParams; a token occurs at most once in each list of a row, in any order; ids outside the
// vocabulary are skipped.
struct SamplingRow {
  float temperature = 1.0f;  // below 1e-6: greedy, smallest id wins a tie
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  int32_t top_k = 0;          // 0 = off
  int32_t forced_token = -1;  // at least 0: this token, below vocab
  int32_t top_logprobs = -1;  // -1 = none; 0 = the sampled token only; at most kMaxTopLogprobs
  int32_t allowed_row = -1;   // row of SamplingParams::allowed; -1 = every token is allowed
  uint64_t seed = 0;
  uint64_t position = 0;
  int32_t bias_begin = 0;
  int32_t bias_count = 0;
  int32_t banned_begin = 0;
  int32_t banned_count = 0;
  int32_t penalty_begin = 0;
  int32_t penalty_count = 0;
};

struct TokenBias {
  int32_t token;
  float bias;
};

// A token that occurs in a row's prompt or output, and how often in its output.
struct TokenCount {
  int32_t token;
  int32_t output_count;
};

struct SampledRow {
  int32_t token;  // -1 after a fault
  int32_t fault;  // 1: NaN or infinity among the logits, or every token banned
  float logprob;  // of the raw logits of allowed tokens; when asked for
  int32_t rank;   // of a forced token by raw logits, from 1; with its logprob
  int32_t top_count;
  int32_t top_tokens[kMaxTopLogprobs];  // by falling probability, smaller id first on a tie
  float top_logprobs[kMaxTopLogprobs];
};

// sm_90: a cluster of so many blocks holds a row in shared memory, a slice each.
constexpr int kSamplingClusterBlocks = 8;
constexpr int kSamplingClusterThreads = 256;
constexpr int64_t kSamplingClusterBytesBesideSlice = 8 * 1024;  // of shared memory, at most
// sm_80: one block works on a row in global memory.
constexpr int kSamplingSingleThreads = 1024;

// Elements of the slice of a row that each of `blocks` blocks has; a warp's range is a multiple of
// four.
constexpr int64_t sampling_slice_length(int vocab, int blocks, int threads) {
  const int64_t unit = threads / 8;
  const int64_t even = (int64_t{vocab} + blocks - 1) / blocks;
  return (even + unit - 1) / unit * unit;
}

// Whether a slice and what is kept beside it fit into the shared memory of a block on sm_90.
constexpr bool sampling_fits_cluster(int vocab) {
  constexpr int64_t kMostShared = 227 * 1024;
  return kSamplingClusterBytesBesideSlice +
             4 * sampling_slice_length(vocab, kSamplingClusterBlocks, kSamplingClusterThreads) <=
         kMostShared;
}

// Device memory that launch_sampling() needs with the kernels for sm_80 or sm_90a (`arch` 80 or
// 90); zero where a cluster holds a row.
constexpr size_t sampling_workspace_bytes(int max_rows, int vocab, int arch) {
  if (arch >= 90 && sampling_fits_cluster(vocab)) return 0;
  return sizeof(float) *
         static_cast<size_t>(sampling_slice_length(vocab, 1, kSamplingSingleThreads)) *
         static_cast<size_t>(max_rows);
}

}  // namespace ernie::kernels
