#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/cpu/kernels.h"
#include "ops/sampling.h"

namespace ernie::cpu {

// Uniform random numbers as a function of (seed, position, index): Philox 4x32-10 (Salmon et al.,
// "Parallel random numbers: as easy as 1, 2, 3", 2011). The result is in [0, 1) with 53 bits.
double counter_uniform(uint64_t seed, uint64_t position, uint32_t index);

// Chooses a token from one row of logits as ops/sampling.h defines. One instance per thread; it
// keeps working memory between calls.
class RowSampler {
 public:
  explicit RowSampler(const Kernels& kernels) : kernels_(&kernels) {}

  // logits [vocab], overwritten.
  ops::SampleResult sample(float* logits, int64_t vocab, const ops::SampleRow& row);

 private:
  struct Candidate {
    float value;
    int32_t token;
  };

  static void keep_allowed(float* logits, int64_t vocab, std::span<const uint32_t> allowed);
  void raw_logprobs(const float* logits, int64_t vocab, int top);
  void adjust(float* logits, int64_t vocab, const ops::SampleRow& row);
  int32_t draw_all(const float* weights, int64_t vocab, double target) const;
  int32_t draw_one(float* weights, int64_t vocab, const ops::SampleRow& row);
  void keep_top_k(float* weights, int64_t vocab, int k);

  const Kernels* kernels_;
  std::vector<Candidate> candidates_;
  std::vector<ops::TokenLogprob> top_;
  std::vector<float> raw_;  // the logits as they came; when log-probabilities are wanted
  std::vector<int64_t> histogram_;
  double log_sum_ = 0;  // of exp(raw logits)
};

}  // namespace ernie::cpu
