#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "serve/chat_service.h"
#include "serve/choice_stream.h"
#include "serve/client_quota.h"

namespace ernie::serve {

// One request under way: its choices, their engine requests and the sink they share. The lock makes
// calls to the sink one at a time and orders them: start, deltas, done or error.
class GenerationState : public Generation, public std::enable_shared_from_this<GenerationState> {
 public:
  GenerationState(engine::Engine& engine, std::shared_ptr<OutputSink> sink,
                  std::function<void(const RequestRecord&)> on_finished)
      : engine_(engine), sink_(std::move(sink)), on_finished_(std::move(on_finished)) {}

  void cancel() override;
  const std::atomic<bool>& cancelled() const { return cancelled_; }

  // Before any submit: the prompts' share of the usage, and the choices to come.
  void start(const PromptInfo& info, const Usage& prompt_usage, std::vector<ChoiceStream> choices,
             int choices_per_prompt);

  // Queues the engine request of choice `index`; a refusal fails the whole generation (false). The
  // engine gives `quota` back when it is done with the request.
  bool submit(int index, engine::GenerationRequest request, ClientQuota::Share quota);

  void fail(const Error& error) override;
  void abort(const Error& error) override;

  // Ends it without any choice; false if it has ended already.
  bool finish();

 private:
  class Sink;
  struct Choice {
    ChoiceStream stream;
    engine::RequestHandle handle = 0;
    bool submitted = false;
    bool cancel_wanted = false;  // before the handle was known
  };

  void on_prompt(int index, const engine::PromptEvent& event);
  void on_token(int index, const engine::TokenEvent& event);
  void on_finish(int index, int max_tokens, engine::FinishReason reason,
                 const engine::RequestStats& stats, const std::optional<Error>& error);
  void deliver(const Delta& delta);
  void fail_locked(const Error& error);
  void cancel_choices_locked();
  Usage usage_locked() const;

  engine::Engine& engine_;
  std::shared_ptr<OutputSink> sink_;
  std::function<void(const RequestRecord&)> on_finished_;
  std::atomic<bool> cancelled_{false};

  std::mutex mutex_;
  std::vector<Choice> choices_;
  Usage usage_;  // of the prompts
  int choices_per_prompt_ = 1;
  size_t open_ = 0;  // choices without a finish
  bool ended_ = false;
  bool aborted_ = false;
};

}  // namespace ernie::serve
