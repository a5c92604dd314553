#include "serve/generation.h"

#include <utility>

#include "base/failure.h"

namespace ernie::serve {

// The engine's end of one choice; keeps the generation alive until the engine is done with it.
class GenerationState::Sink : public engine::EventSink {
 public:
  Sink(std::shared_ptr<GenerationState> owner, int index, int max_tokens, ClientQuota::Share quota)
      : owner_(std::move(owner)),
        index_(index),
        max_tokens_(max_tokens),
        quota_(std::move(quota)) {}

  void on_prompt(const engine::PromptEvent& event) override {
    guard([&] { owner_->on_prompt(index_, event); });
  }
  void on_token(const engine::TokenEvent& event) override {
    guard([&] { owner_->on_token(index_, event); });
  }
  void on_finish(engine::FinishReason reason, const engine::RequestStats& stats,
                 const std::optional<Error>& error) override {
    guard([&] { owner_->on_finish(index_, max_tokens_, reason, stats, error); });
  }

 private:
  // The engine's output thread serves all requests: what fails for one must not reach it.
  template <typename Work>
  void guard(const Work& work) {
    try {
      work();
    } catch (const std::exception& e) {
      owner_->fail(failure_of_request(e));
    }
  }

  std::shared_ptr<GenerationState> owner_;
  int index_;
  int max_tokens_;
  ClientQuota::Share quota_;
};

void GenerationState::cancel() {
  cancelled_ = true;
  std::lock_guard lock(mutex_);
  ended_ = true;
  cancel_choices_locked();
}

void GenerationState::start(const PromptInfo& info, const Usage& prompt_usage,
                            std::vector<ChoiceStream> choices, int choices_per_prompt) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  usage_ = prompt_usage;
  choices_per_prompt_ = choices_per_prompt;
  open_ = choices.size();
  for (auto& stream : choices) choices_.push_back({std::move(stream)});
  sink_->on_start(info);
}

bool GenerationState::submit(int index, engine::GenerationRequest request,
                             ClientQuota::Share quota) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
  }
  request.sink = std::make_shared<Sink>(shared_from_this(), index, request.sampling.max_tokens,
                                        std::move(quota));
  auto handle = engine_.submit(std::move(request));
  std::lock_guard lock(mutex_);
  if (!handle) {
    fail_locked(handle.error());
    return false;
  }
  Choice& choice = choices_[index];
  choice.handle = *handle;
  choice.submitted = true;
  if (choice.cancel_wanted || ended_) engine_.cancel(choice.handle);
  return true;
}

void GenerationState::fail(const Error& error) {
  std::lock_guard lock(mutex_);
  try {
    fail_locked(error);
  } catch (const std::exception& e) {  // the answer ends as one whose writer was dropped
    log::error("an error could not be answered: {}", e.what());
  }
}

void GenerationState::abort(const Error& error) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  try {
    if (choices_.empty()) return fail_locked(error);
    aborted_ = true;
    cancel_choices_locked();
    for (Choice& choice : choices_) {
      if (auto delta = choice.stream.finish(engine::FinishReason::kCancelled)) deliver(*delta);
    }
    ended_ = true;
    sink_->on_done(usage_locked());
  } catch (const std::exception& e) {
    ended_ = true;
    log::error("an ended request could not be answered: {}", e.what());
  }
}

bool GenerationState::finish() {
  std::lock_guard lock(mutex_);
  return !std::exchange(ended_, true);
}

void GenerationState::on_prompt(int index, const engine::PromptEvent& event) {
  std::lock_guard lock(mutex_);
  if (!ended_) deliver(choices_[index].stream.prompt(event));
}

void GenerationState::on_token(int index, const engine::TokenEvent& event) {
  std::lock_guard lock(mutex_);
  Choice& choice = choices_[index];
  if (ended_ || choice.stream.finished()) return;
  auto delta = choice.stream.push(event);
  if (!delta) return;
  deliver(*delta);
  if (choice.stream.finished()) {  // a stop string: the engine does not know yet
    choice.cancel_wanted = true;
    if (choice.submitted) engine_.cancel(choice.handle);
  }
}

void GenerationState::on_finish(int index, int max_tokens, engine::FinishReason reason,
                                const engine::RequestStats& stats,
                                const std::optional<Error>& error) {
  RequestRecord record{stats, "error", max_tokens};
  {
    std::lock_guard lock(mutex_);
    Choice& choice = choices_[index];
    if (choice.stream.finished() && !aborted_) {
      record.finish_reason = "stop";
    } else if (reason == engine::FinishReason::kCancelled) {
      record.finish_reason = "cancelled";
    } else if (reason != engine::FinishReason::kError) {
      record.finish_reason = reason == engine::FinishReason::kStop ? "stop" : "length";
    }
  }
  // Before the end of the answer, so that who has it finds it in the metrics.
  if (on_finished_) on_finished_(record);
  {
    std::lock_guard lock(mutex_);
    Choice& choice = choices_[index];
    // The choices of one prompt share its tokens in the usage, so only the first counts.
    if (index % choices_per_prompt_ == 0) usage_.cached_tokens += stats.cached_tokens;
    if (!ended_) {
      if (error && !choice.stream.finished()) {
        fail_locked(*error);
      } else if (reason == engine::FinishReason::kCancelled && !choice.stream.finished()) {
        fail_locked({ErrorKind::kUnavailable,
                     "the server ended the request before it was complete",
                     {},
                     "cancelled"});
      } else {
        if (auto delta = choice.stream.finish(reason)) deliver(*delta);
        if (!ended_ && --open_ == 0) {
          sink_->on_done(usage_locked());
          ended_ = true;
        }
      }
    }
  }
}

void GenerationState::deliver(const Delta& delta) { sink_->on_delta(delta, usage_locked()); }

void GenerationState::fail_locked(const Error& error) {
  if (ended_) return;
  ended_ = true;
  cancelled_ = true;
  cancel_choices_locked();
  sink_->on_error(error);
}

void GenerationState::cancel_choices_locked() {
  for (Choice& choice : choices_) {
    choice.cancel_wanted = true;
    if (choice.submitted) engine_.cancel(choice.handle);
  }
}

Usage GenerationState::usage_locked() const {
  Usage usage = usage_;
  for (const Choice& choice : choices_) {
    usage.completion_tokens += choice.stream.generated_tokens();
    usage.reasoning_tokens += choice.stream.reasoning_tokens();
  }
  return usage;
}

}  // namespace ernie::serve
