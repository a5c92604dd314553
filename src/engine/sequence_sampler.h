#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/prompt.h"
#include "ops/sampling.h"
#include "sched/sampling_params.h"

namespace ernie::engine {

// How one token of one sequence is to be drawn. `row` points into the other members.
struct SampleSpec {
  ops::SampleRow row;
  std::shared_ptr<const model::Prompt> prompt;                // keeps row.prompt_tokens
  std::shared_ptr<const struct SamplingTables> tables;        // keeps the other lists
  std::shared_ptr<const std::vector<int32_t>> output_tokens;  // set when penalties apply
  int32_t previous_sample = -1;         // index in the step before, whose token is not known yet
  int32_t forced_unless_previous = -1;  // row.forced_token does not hold if that token is this one
};

// Token lists of one request, shared by all its steps.
struct SamplingTables {
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> banned;        // bad words
  std::vector<int32_t> banned_early;  // bad words and stop tokens, before min_tokens
};

// Draws of one sequence. What it says depends on the tokens generated so far and on nothing else,
// so batching, preemption and the number of ranks cannot change an answer.
class SequenceSampler {
 public:
  SequenceSampler(std::shared_ptr<const model::Prompt> prompt, sched::SamplingParams params);

  // The draw of the token after `outputs`; with previous_sample >= 0, after one more that is not
  // known yet.
  SampleSpec next(std::span<const int32_t> outputs, int32_t previous_sample = -1) const;

  // Records the token at this index of the answer. True when it ends the answer as a stop token.
  bool accept(int32_t token, int32_t index);

 private:
  bool uses_history() const;

  std::shared_ptr<const model::Prompt> prompt_;
  sched::SamplingParams params_;
  std::shared_ptr<const SamplingTables> tables_;
  bool thought_ended_ = false;  // end_token came before the thinking budget was spent
};

}  // namespace ernie::engine
