#include "engine/sequence_sampler.h"

#include <algorithm>

namespace ernie::engine {

SequenceSampler::SequenceSampler(std::shared_ptr<const model::Prompt> prompt,
                                 sched::SamplingParams params)
    : prompt_(std::move(prompt)), params_(std::move(params)) {
  auto tables = std::make_shared<SamplingTables>();
  tables->logit_bias = params_.logit_bias;
  tables->banned = params_.bad_token_ids;
  tables->banned_early = tables->banned;
  tables->banned_early.insert(tables->banned_early.end(), params_.stop_token_ids.begin(),
                              params_.stop_token_ids.end());
  tables_ = std::move(tables);
}

bool SequenceSampler::uses_history() const {
  return params_.repetition_penalty != 1.0f || params_.frequency_penalty != 0.0f ||
         params_.presence_penalty != 0.0f;
}

SampleSpec SequenceSampler::next(std::span<const int32_t> outputs, int32_t previous_sample) const {
  const bool pending = previous_sample >= 0;
  const auto index = static_cast<int32_t>(outputs.size()) + (pending ? 1 : 0);
  SampleSpec spec{.tables = tables_, .previous_sample = previous_sample};
  spec.row = {.temperature = params_.temperature,
              .top_p = params_.top_p,
              .top_k = params_.top_k,
              .min_p = params_.min_p,
              .repetition_penalty = params_.repetition_penalty,
              .frequency_penalty = params_.frequency_penalty,
              .presence_penalty = params_.presence_penalty,
              .seed = params_.seed,
              .position = static_cast<uint64_t>(index),
              .logit_bias = tables_->logit_bias,
              .banned_tokens = index < params_.min_tokens ? tables_->banned_early : tables_->banned,
              .top_logprobs = params_.top_logprobs};
  if (uses_history()) {
    spec.prompt = prompt_;
    spec.output_tokens = std::make_shared<std::vector<int32_t>>(outputs.begin(), outputs.end());
    spec.row.prompt_tokens = prompt_->tokens;
    spec.row.output_tokens = *spec.output_tokens;
  }
  const sched::ThinkingBudget& thinking = params_.thinking;
  const int32_t past_budget = index - thinking.max_tokens;
  if (thinking.max_tokens >= 0 && past_budget >= 0 && !thought_ended_ &&
      past_budget < static_cast<int32_t>(thinking.forced_tokens.size())) {
    spec.row.forced_token = thinking.forced_tokens[past_budget];
    // The last token inside the budget may end the thought by itself.
    if (pending && past_budget == 0) spec.forced_unless_previous = thinking.end_token;
  }
  return spec;
}

bool SequenceSampler::accept(int32_t token, int32_t index) {
  if (token == params_.thinking.end_token && index < params_.thinking.max_tokens) {
    thought_ended_ = true;
  }
  return index >= params_.min_tokens &&
         std::ranges::find(params_.stop_token_ids, token) != params_.stop_token_ids.end();
}

}  // namespace ernie::engine
