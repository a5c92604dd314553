#include "serve/sampling.h"

#include <algorithm>
#include <random>

#include "base/hash.h"
#include "model/processor.h"
#include "text/answer_syntax.h"

namespace ernie::serve {
namespace {

constexpr size_t kMaxWordTokens = 16;

// Bans each word, at the start of a text and after a space.
Status ban_words(const GenerationOptions& options, const SamplingContext& context,
                 engine::SamplingParams& params) {
  std::vector<int32_t>& ids = params.bad_token_ids;
  std::vector<std::vector<int32_t>>& words = params.bad_words;
  ids = options.bad_words_token_ids;
  for (size_t i = 0; i < options.bad_words.size(); ++i) {
    const std::string& word = options.bad_words[i];
    for (const std::string& form : {word, " " + word}) {
      auto tokens = context.tokenizer->encode(
          form, {.parse_special = false, .max_tokens = kMaxWordTokens + 1});
      if (tokens.size() > kMaxWordTokens) {
        return invalid_argument("bad_words[" + std::to_string(i) + "] is more than " +
                                    std::to_string(kMaxWordTokens) +
                                    " tokens; words of at most so many can be banned",
                                "bad_words");
      }
      if (tokens.size() == 1) {
        ids.push_back(tokens[0]);
      } else {
        words.push_back(std::move(tokens));
      }
    }
  }
  const auto sort_unique = [](auto& list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  };
  sort_unique(ids);
  sort_unique(words);
  // What is banned anyway needs no word.
  std::erase_if(words,
                [&](const auto& word) { return std::ranges::binary_search(ids, word.back()); });
  if (ids.size() >= static_cast<size_t>(context.vocab_size)) {
    return invalid_argument("bad_words and bad_words_token_ids ban every token of this model",
                            "bad_words");
  }
  return {};
}

Status check_ids(std::span<const int32_t> ids, int vocab_size, const std::string& param) {
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return invalid_argument(param + " holds the id " + std::to_string(id) +
                                  "; ids of this model are 0 to " + std::to_string(vocab_size - 1),
                              param);
    }
  }
  return {};
}

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) & 0x7fffffffffffffffull;
}

}  // namespace

Result<engine::SamplingParams> make_sampling_params(const GenerationOptions& options,
                                                    std::span<const int32_t> prompt,
                                                    const ReasoningLimit& reasoning_limit,
                                                    const SamplingContext& context) {
  const GenerationDefaults& defaults = *context.defaults;
  const int prompt_tokens = static_cast<int>(prompt.size());
  const int room = context.max_model_len - prompt_tokens;
  if (room < 1) {
    return model::prompt_too_long(std::to_string(prompt_tokens),
                                  static_cast<size_t>(context.max_model_len), "messages");
  }
  if (options.min_tokens >= room) {
    return invalid_argument("min_tokens is " + std::to_string(options.min_tokens) +
                                ", but after a prompt of " + std::to_string(prompt_tokens) +
                                " tokens there is room for " + std::to_string(room) + " of " +
                                std::to_string(context.max_model_len),
                            "min_tokens", "context_length_exceeded");
  }
  const ops::SamplerLimits& limits = context.limits;
  for (const auto& [param, wanted] : {std::pair("top_logprobs", options.top_logprobs),
                                      std::pair("prompt_logprobs", options.prompt_logprobs)}) {
    if (wanted <= std::min(context.max_logprobs, limits.top_logprobs)) continue;
    const bool by_flag = context.max_logprobs <= limits.top_logprobs;
    return invalid_argument(
        std::string(param) + " is " + std::to_string(wanted) + "; at most " +
            std::to_string(std::min(context.max_logprobs, limits.top_logprobs)) +
            (by_flag ? " (--max-logprobs)" : " (the device's limit)") + " can be had",
        param);
  }
  if (options.logit_bias.size() > static_cast<size_t>(limits.logit_biases)) {
    return invalid_argument("logit_bias has " + std::to_string(options.logit_bias.size()) +
                                " entries; the device takes at most " +
                                std::to_string(limits.logit_biases),
                            "logit_bias");
  }

  engine::SamplingParams params;
  ops::SamplingOptions& draw = params.options;
  draw.temperature = options.temperature.value_or(defaults.temperature);
  draw.top_p = options.top_p.value_or(defaults.top_p);
  if (draw.top_p == 0.0f) draw.temperature = 0.0f;  // FastDeploy: top_p 0 is greedy
  draw.top_k = options.top_k.value_or(defaults.top_k);
  draw.min_p = options.min_p.value_or(defaults.min_p);
  draw.repetition_penalty = options.repetition_penalty.value_or(defaults.repetition_penalty);
  draw.frequency_penalty = options.frequency_penalty.value_or(defaults.frequency_penalty);
  draw.presence_penalty = options.presence_penalty.value_or(defaults.presence_penalty);
  draw.seed = options.seed ? *options.seed : random_seed();
  draw.top_logprobs = options.top_logprobs;
  params.prompt_logprobs = options.prompt_logprobs;
  params.max_tokens = std::min(options.max_tokens.value_or(room), room);
  params.min_tokens = std::min(options.min_tokens, params.max_tokens);

  if (auto s = check_ids(options.stop_token_ids, context.vocab_size, "stop_token_ids"); !s)
    return s.error();
  if (auto s = check_ids(options.bad_words_token_ids, context.vocab_size, "bad_words_token_ids");
      !s) {
    return s.error();
  }
  params.stop_token_ids = options.stop_token_ids;
  if (!options.ignore_eos) {
    params.stop_token_ids.insert(params.stop_token_ids.end(), defaults.eos_token_ids.begin(),
                                 defaults.eos_token_ids.end());
  }
  for (const auto& [id, bias] : options.logit_bias) {
    if (auto s = check_ids({&id, 1}, context.vocab_size, "logit_bias"); !s) return s.error();
  }
  params.logit_bias = options.logit_bias;
  if (auto s = ban_words(options, context, params); !s) return s.error();
  // Before min_tokens the stop tokens are banned too.
  const size_t banned =
      params.bad_token_ids.size() + params.bad_words.size() + params.stop_token_ids.size();
  if (banned > static_cast<size_t>(limits.banned_tokens)) {
    return invalid_argument("bad words and stop tokens are " + std::to_string(banned) +
                                " tokens; the device takes at most " +
                                std::to_string(limits.banned_tokens),
                            "bad_words");
  }

  if (context.tokenizer->think_end_id() && text::opens_thinking(*context.tokenizer, prompt)) {
    const auto share = static_cast<int>(params.max_tokens * reasoning_limit.share);
    const int budget = reasoning_limit.tokens.value_or(std::max(share, 1));
    params.thinking.max_tokens = std::min(budget, params.max_tokens);
    params.thinking.end_token = *context.tokenizer->think_end_id();
    const auto newline = context.tokenizer->encode("\n");
    auto& forced = params.thinking.forced_tokens;
    forced = newline;
    forced.push_back(params.thinking.end_token);
    forced.insert(forced.end(), newline.begin(), newline.end());
    forced.insert(forced.end(), newline.begin(), newline.end());
  }
  return params;
}

uint64_t choice_seed(uint64_t seed, int index) {
  if (index == 0) return seed;
  const uint64_t words[2] = {seed, static_cast<uint64_t>(index)};
  return hash_bytes(words, sizeof(words)).low;
}

}  // namespace ernie::serve
