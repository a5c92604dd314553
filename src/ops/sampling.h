#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace ernie::ops {

// What a row may ask for at most; requests that want more are refused before they get here.
struct SamplerLimits {
  int top_logprobs = 0;
  int logit_biases = 0;
  int banned_tokens = 0;
};

// How all tokens of one answer are drawn: without sorting, by rejection with two pivots
// (FlashInfer, arXiv 2501.01005), from exactly the distribution that the options define.
struct SamplingOptions {
  float temperature = 1.0f;  // below 1e-6: greedy, smallest id wins a tie
  float top_p = 1.0f;
  int top_k = 0;  // 0 = off
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // over prompt and output tokens
  float frequency_penalty = 0.0f;   // over output tokens
  float presence_penalty = 0.0f;    // over output tokens
  uint64_t seed = 0;
  int top_logprobs = -1;  // -1 = none; 0 = the sampled token only

  bool has_penalties() const {
    return repetition_penalty != 1.0f || frequency_penalty != 0.0f || presence_penalty != 0.0f;
  }
};

struct TokenBias {
  int32_t token = 0;
  float bias = 0;
};

// A token of the prompt or the output, and how often it occurs in the output.
struct TokenCount {
  int32_t token = 0;
  int32_t in_output = 0;
};

// How to choose one token from one row of logits. All processing happens in this order: forced
// token, allowed tokens, logit bias, bad words, minimum length, penalties, temperature, min-p,
// top-k, top-p, draw. A token occurs at most once in each list; ids outside the vocabulary are
// skipped.
struct SampleRow {
  SamplingOptions options;
  uint64_t position = 0;  // index of the generated token; (seed, position) fixes the random numbers
  int32_t forced_token = -1;
  std::span<const uint32_t> allowed;  // a bit for each logit, bit i % 32 of word i / 32; empty: all
  std::span<const TokenCount> counts;  // read when there are penalties
  std::span<const TokenBias> biases;
  std::span<const int32_t> banned_tokens;  // bad words and, before min_tokens, the stop tokens
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
};

struct SampleResult {
  int32_t token = -1;
  bool numeric_fault = false;     // the logits held NaN, or every token was banned
  float logprob = 0;              // of the raw logits of allowed tokens; when asked for
  int32_t rank = 0;               // of a forced token by raw logits, from 1; with its logprob
  std::vector<TokenLogprob> top;  // by falling probability, above 0; when asked for
};

// The draws of a step that the device may still be computing. Any thread may call it.
class PendingSamples {
 public:
  virtual ~PendingSamples() = default;
  // Waits for the step; one result per row drawn. Throws what the device's failure is.
  virtual const std::vector<SampleResult>& wait() = 0;
  virtual bool immediate() const = 0;  // the backend computes before its calls return
};

// Of a backend that has computed everything when a call returns.
class ReadySamples final : public PendingSamples {
 public:
  explicit ReadySamples(std::vector<SampleResult> results) : results_(std::move(results)) {}
  const std::vector<SampleResult>& wait() override { return results_; }
  bool immediate() const override { return true; }

 private:
  std::vector<SampleResult> results_;
};

}  // namespace ernie::ops
