#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/sampling_params.h"
#include "model/prompt.h"
#include "ops/sampling.h"

namespace ernie::engine {

// Token lists of one request, shared by all its steps.
struct SamplingTables {
  std::vector<ops::TokenBias> biases;
  std::vector<int32_t> banned;        // bad words
  std::vector<int32_t> banned_early;  // bad words and stop tokens, before min_tokens
};

// How one token of one sequence is to be drawn. `row` points into the other members.
struct SampleSpec {
  ops::SampleRow row;
  std::shared_ptr<const SamplingTables> tables;
  std::shared_ptr<const std::vector<ops::TokenCount>> counts;  // set when there are penalties
};

// The rules for the tokens of one answer. What it says depends on the tokens accepted so far and on
// nothing else, so batching, preemption and the number of ranks cannot change an answer. Used by
// the engine's thread.
class SequenceSampler {
 public:
  SequenceSampler(const model::Prompt& prompt, SamplingParams params);

  // Whether the draw after next depends on the token that the next one draws in a way that only
  // accept() finds out.
  bool next_but_one_waits() const;

  // The draw of the next token; of the next but one if the next is still being drawn, which must
  // not wait for it.
  SampleSpec next(bool one_is_pending = false) const;

  // Records the next token of the answer. True when it ends the answer as a stop token.
  bool accept(int32_t token);

 private:
  SamplingParams params_;
  std::shared_ptr<const SamplingTables> tables_;
  std::vector<ops::TokenCount> counts_;  // by rising token; kept when there are penalties
  int32_t accepted_ = 0;
  bool thought_ended_ = false;  // end_token came before the thinking budget was spent
};

}  // namespace ernie::engine
