#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ops/sampling.h"

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
  int max_tokens = 16;
  int min_tokens = 0;
  // Includes the model's end tokens unless the request ignores them.
  std::vector<int32_t> stop_token_ids;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> bad_token_ids;
  ThinkingBudget thinking;
};

}  // namespace ernie::engine
