#include "engine/prompt_scores.h"

namespace ernie::engine {

std::optional<PromptEvent> PromptScores::take(const sched::PlanRow& row,
                                              std::span<ops::SampleResult> samples) {
  PromptEvent event;
  if (!wanted_) return event;
  for (size_t i = 0; i < samples.size(); ++i) {
    ops::SampleResult& sample = samples[i];
    if (sample.numeric_fault) return std::nullopt;
    pass_to(row.scores[i] + 1, event);
    event.tokens.push_back({sample.token, sample.logprob, sample.rank, std::move(sample.top)});
    ++told_;
  }
  const auto length = static_cast<int32_t>(prompt_->tokens.size());
  if (row.end() >= length) pass_to(length, event);
  return event;
}

void PromptScores::pass_to(int32_t token, PromptEvent& event) {
  for (; told_ < token; ++told_) event.tokens.push_back({.token = prompt_->tokens[told_]});
}

}  // namespace ernie::engine
