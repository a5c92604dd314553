#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

// Chooses one token per row of logits, on the device, in one launch. The rules are those of
// src/ops/sampling.h, in its order: forced token, logit bias, banned tokens and grammar mask,
// penalties, temperature, min-p, top-k, top-p, draw. Nothing is sorted: top-k is a radix selection
// and top-p is rejection with two pivots (FlashInfer, arXiv 2501.01005), with the random numbers
// and the order of decisions of the CPU backend's rejection class, so both draw the same token
// unless a decision falls within float rounding.
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
  int32_t use_allowed = 0;    // 1 = this row's bits of SamplingParams::allowed count
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
  float logprob;  // of the raw logits; when asked for
  int32_t top_count;
  int32_t top_tokens[kMaxTopLogprobs];  // by falling probability, smaller id first on a tie
  float top_logprobs[kMaxTopLogprobs];
};

struct SamplingParams {
  const float* logits = nullptr;  // [max_rows, vocab], rows row_stride apart; not changed
  int64_t row_stride = 0;
  int vocab = 0;
  int max_rows = 0;                   // the grid; fixed in a graph
  const int32_t* num_rows = nullptr;  // device: rows in use, at most max_rows; null = max_rows
  const SamplingRow* rows = nullptr;  // [max_rows]
  const TokenBias* biases = nullptr;
  const int32_t* banned = nullptr;
  const TokenCount* penalties = nullptr;
  const uint32_t* allowed = nullptr;  // [max_rows, ceil(vocab / 32)]: bit i % 32 of word i / 32
  void* workspace = nullptr;          // sampling_workspace_bytes(), 16-byte aligned
  int32_t* tokens =
      nullptr;  // out [max_rows]: SampledRow::token, as the next step's input; may be null
  SampledRow* results = nullptr;  // out [max_rows]; rows not in use are left as they are
};

// Device memory that launch_sampling() needs on the current device; zero where a cluster of blocks
// holds a row in shared memory.
size_t sampling_workspace_bytes(int max_rows, int vocab);

cudaError_t launch_sampling(const SamplingParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
