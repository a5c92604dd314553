#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace ernie::sched {

// A limit on thinking: after max_tokens generated tokens without end_token, the forced tokens
// follow.
struct ThinkingBudget {
  int max_tokens = -1;  // -1 = no limit
  int32_t end_token = -1;
  std::vector<int32_t> forced_tokens;  // for example \n </think> \n \n
};

// How one sequence is generated. Ranges are checked where requests are parsed.
struct SamplingParams {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  uint64_t seed = 0;
  int max_tokens = 16;
  int min_tokens = 0;
  std::vector<int32_t>
      stop_token_ids;  // includes the model's end tokens unless the request ignores them
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> bad_token_ids;
  int top_logprobs = -1;  // -1 = no logprobs
  ThinkingBudget thinking;
};

}  // namespace ernie::sched
