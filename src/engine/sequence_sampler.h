#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/sampling_params.h"
#include "grammar/grammar_matcher.h"
#include "model/prompt.h"
#include "ops/sampling.h"

namespace ernie::engine {

// Token lists of one request, shared by all its steps.
struct SamplingTables {
  std::vector<ops::TokenBias> biases;
  std::vector<int32_t> banned;                  // bad words of one token
  std::vector<int32_t> banned_early;            // these and stop tokens, before min_tokens
  std::vector<std::vector<int32_t>> bad_words;  // longer ones, by their last token but one
};

// How one token of one sequence is to be drawn. `row` points into the other members.
struct SampleSpec {
  ops::SampleRow row;
  std::shared_ptr<const SamplingTables> tables;
  std::shared_ptr<const std::vector<ops::TokenCount>> counts;  // set when there are penalties
  std::shared_ptr<const std::vector<uint32_t>> allowed;        // set where a grammar says
  std::shared_ptr<const std::vector<int32_t>> banned;          // set where bad words end
};

enum class Accepted : uint8_t {
  kGoesOn,
  kStops,    // the token ends the answer
  kRefused,  // the grammar does not allow the token, which was drawn because it did
};

// The rules for the tokens of one answer. What it says depends on the tokens accepted so far and on
// nothing else, so batching, preemption and the number of ranks cannot change an answer. Used by
// one thread at a time.
class SequenceSampler {
 public:
  // `vocab_size` logits; of a grammar's vocabulary.
  SequenceSampler(const model::Prompt& prompt, SamplingParams params, int vocab_size);

  // Whether the draw after next depends on the token that the next one draws in a way that only
  // accept() finds out.
  bool next_but_one_waits() const;

  // The draw of the next token; of the next but one if the next is still being drawn, which must
  // not wait for it.
  SampleSpec next(bool one_is_pending = false);

  // The draw that gives the log-probability of a token of the prompt.
  SampleSpec score(int32_t token) const {
    return {.row = {.options = {.top_logprobs = params_.prompt_logprobs}, .forced_token = token}};
  }

  // Whether the answer's grammar takes too much time to be followed; then no more token is drawn.
  bool grammar_is_too_slow() const { return matcher_ && matcher_->is_too_slow(); }

  // Records the next token of the answer.
  Accepted accept(int32_t token);

 private:
  // The token that the thinking budget forces at this index of the answer, or -1.
  int32_t forced_token(int32_t index) const;
  // Bans the tokens and those that would end a bad word here.
  void ban(SampleSpec& spec, const std::vector<int32_t>& tokens) const;
  // Restricts the draw to what the grammar allows.
  void follow_grammar(SampleSpec& spec, int32_t index);

  SamplingParams params_;
  std::optional<grammar::GrammarMatcher> matcher_;
  bool grammar_begun_ = false;
  int vocab_size_ = 0;
  std::shared_ptr<const SamplingTables> tables_;
  std::vector<ops::TokenCount> counts_;  // by rising token; kept when there are penalties
  std::vector<int32_t> answer_;          // kept when there are bad words
  int32_t accepted_ = 0;
  bool thought_ended_ = false;  // end_token came before the thinking budget was spent
};

}  // namespace ernie::engine
