#pragma once

#include <memory>
#include <optional>
#include <span>

#include "engine/engine.h"
#include "sched/step_plan.h"

namespace ernie::engine {

// Makes events of the draws that score a prompt's tokens: one entry for each token, in order, and
// only one though a preemption has the prompt computed again. Used by the engine's thread.
class PromptScores {
 public:
  PromptScores(std::shared_ptr<const model::Prompt> prompt, const SamplingParams& sampling)
      : prompt_(std::move(prompt)), wanted_(sampling.prompt_logprobs >= 0) {}

  // What a step's row says of the tokens that come next; `samples` are those of row.scores. Nothing
  // when logits were not numbers.
  std::optional<PromptEvent> take(const sched::PlanRow& row, std::span<ops::SampleResult> samples);

 private:
  void pass_to(int32_t token, PromptEvent& event);

  std::shared_ptr<const model::Prompt> prompt_;
  bool wanted_;
  int32_t told_ = 0;  // tokens that have their entry
};

}  // namespace ernie::engine
