#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "ops/sampling.h"

namespace ernie::grammar {
class CompiledGrammar;
}

namespace ernie::engine {

// A limit on thinking: after max_tokens generated tokens without end_token, the forced tokens
// follow.
struct ThinkingBudget {
  int max_tokens = -1;  // -1 = no limit
  int32_t end_token = -1;
  std::vector<int32_t> forced_tokens;  // for example \n </think> \n \n
};

// How one sequence is generated. Ranges are checked where requests are parsed.
struct SamplingParams {
  ops::SamplingOptions options;
  int max_tokens = 16;  // 0: the prompt is computed and nothing drawn
  int min_tokens = 0;
  // Includes the model's end tokens unless the request ignores them.
  std::vector<int32_t> stop_token_ids;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> bad_token_ids;
  // Each of two tokens or more: its last is banned where those before it were generated last.
  std::vector<std::vector<int32_t>> bad_words;
  // Alternatives of each token of the prompt, whose log-probabilities of the model's own
  // distribution are wanted; -1: they are not.
  int prompt_logprobs = -1;
  ThinkingBudget thinking;
  // What the answer must look like, for the vocabulary of the model; null: anything. It begins
  // after the first grammar_after, if that is a token, else with the answer.
  std::shared_ptr<const grammar::CompiledGrammar> grammar;
  int32_t grammar_after = -1;
};

}  // namespace ernie::engine
