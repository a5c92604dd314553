#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace ernie::serve {

// What the fake engine does with one request.
struct Script {
  std::vector<engine::PromptToken> prompt;  // comes first, two tokens at a time
  std::vector<engine::TokenEvent> tokens;
  engine::FinishReason reason = engine::FinishReason::kLength;
  std::optional<Error> error;
  engine::RequestStats stats;
  bool until_cancelled = false;  // after the tokens nothing comes but the answer to cancel()
  bool ignores_cancel = false;   // ends in its own way, as if it ended before it was cancelled
};

inline engine::TokenEvent token(int32_t id, float logprob = 0) {
  engine::TokenEvent event;
  event.token = id;
  event.logprob = logprob;
  return event;
}

inline std::vector<engine::TokenEvent> tokens(const std::vector<int32_t>& ids) {
  std::vector<engine::TokenEvent> out;
  for (const int32_t id : ids) out.push_back(token(id));
  return out;
}

// An engine without a model: requests get scripted events from a thread of its own, one token of
// each open request in turn.
class FakeEngine : public engine::Engine {
 public:
  // The script of the request with this number (counted from 0), or why it is refused.
  using Play = std::function<Result<Script>(const engine::GenerationRequest& request, int number)>;

  explicit FakeEngine(Play play) : play_(std::move(play)), thread_([this] { run(); }) {}
  ~FakeEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Result<engine::RequestHandle> submit(engine::GenerationRequest request) override {
    std::lock_guard lock(mutex_);
    const int number = submitted_++;
    auto script = play_(request, number);
    auto sink = std::exchange(request.sink, nullptr);
    requests_.push_back(request);
    if (!script) return script.error();
    open_.push_back({static_cast<engine::RequestHandle>(number) + 1, std::move(*script), sink});
    changed_.notify_all();
    return open_.back().handle;
  }

  void cancel(engine::RequestHandle handle) override {
    std::lock_guard lock(mutex_);
    cancelled_.push_back(handle);
    for (Open& open : open_) {
      if (open.handle == handle && !open.script.ignores_cancel) open.cancelled = true;
    }
    changed_.notify_all();
  }

  void cancel_all() override {
    std::lock_guard lock(mutex_);
    for (Open& open : open_) open.cancelled = true;
    changed_.notify_all();
  }

  bool drain(std::chrono::milliseconds) override { return true; }
  engine::EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    engine::EngineStats stats = load_;
    stats.healthy = healthy;
    return stats;
  }
  const engine::MemoryReport& memory() const override { return memory_; }
  const engine::EngineConfig& config() const override { return config_; }
  ops::SamplerLimits sampler_limits() const override { return limits; }

  // What stats() shows from now on.
  void set_load(const engine::EngineStats& load) {
    std::lock_guard lock(mutex_);
    load_ = load;
  }

  // All requests so far, refused ones included, without their sinks.
  std::vector<engine::GenerationRequest> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  // The same, and keeps none of them.
  std::vector<engine::GenerationRequest> take_requests() {
    std::lock_guard lock(mutex_);
    return std::exchange(requests_, {});
  }
  std::vector<engine::RequestHandle> cancelled() const {
    std::lock_guard lock(mutex_);
    return cancelled_;
  }
  // Waits until every request got its on_finish; false after ten seconds.
  bool idle() const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return open_.empty() && !delivering_; });
  }

  std::atomic<bool> healthy = true;
  ops::SamplerLimits limits{.top_logprobs = 32, .logit_biases = 1024, .banned_tokens = 4096};

 private:
  struct Open {
    engine::RequestHandle handle = 0;
    Script script;
    std::shared_ptr<engine::EventSink> sink;
    size_t next = 0;
    bool cancelled = false;
  };

  static bool can_go_on(const Open& open) {
    return open.cancelled || open.next < open.script.tokens.size() || !open.script.until_cancelled;
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(
          lock, [&] { return stopping_ || std::any_of(open_.begin(), open_.end(), can_go_on); });
      if (stopping_) return;
      // The next one in turn that has something to say.
      std::rotate(open_.begin(), open_.begin() + 1, open_.end());
      auto it = std::find_if(open_.begin(), open_.end(), can_go_on);
      delivering_ = true;
      deliver(it, lock);
      delivering_ = false;
      changed_.notify_all();
    }
  }

  void deliver(std::vector<Open>::iterator it, std::unique_lock<std::mutex>& lock) {
    const auto sink = it->sink;
    if (auto& prompt = it->script.prompt; !it->cancelled && !prompt.empty()) {
      const auto end = prompt.begin() + std::min<std::ptrdiff_t>(2, std::ssize(prompt));
      const engine::PromptEvent event{{prompt.begin(), end}};
      prompt.erase(prompt.begin(), end);
      lock.unlock();
      sink->on_prompt(event);
      lock.lock();
      return;
    }
    if (!it->cancelled && it->next < it->script.tokens.size()) {
      const engine::TokenEvent event = it->script.tokens[it->next++];
      lock.unlock();
      sink->on_token(event);
      lock.lock();
      return;
    }
    const Open open = std::move(*it);
    open_.erase(it);
    const bool cancelled = open.cancelled;
    lock.unlock();
    if (cancelled) {
      sink->on_finish(engine::FinishReason::kCancelled, open.script.stats, {});
    } else {
      sink->on_finish(open.script.reason, open.script.stats, open.script.error);
    }
    lock.lock();
  }

  const Play play_;
  engine::EngineConfig config_{.max_model_len = 512};
  engine::EngineStats load_;
  engine::MemoryReport memory_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<engine::GenerationRequest> requests_;
  int submitted_ = 0;
  std::vector<engine::RequestHandle> cancelled_;
  std::vector<Open> open_;
  bool delivering_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ernie::serve
