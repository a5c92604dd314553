#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "engine/sampling_params.h"
#include "serve/chat_service.h"
#include "serve/request.h"

namespace ernie::serve {

// What a request's options mean for one prompt.
struct SamplingContext {
  const text::Tokenizer* tokenizer = nullptr;
  const GenerationDefaults* defaults = nullptr;
  int vocab_size = 0;
  int max_model_len = 0;
  int max_logprobs = 20;
  ops::SamplerLimits limits;  // of the device
};

// Resolves defaults and limits; `max_tokens` is clamped to what the context leaves. Thinking that
// the prompt opened is limited to `reasoning_limit`.
Result<engine::SamplingParams> make_sampling_params(const GenerationOptions& options,
                                                    std::span<const int32_t> prompt,
                                                    const ReasoningLimit& reasoning_limit,
                                                    const SamplingContext& context);

// The seed of choice `index` of a request.
uint64_t choice_seed(uint64_t seed, int index);

}  // namespace ernie::serve
