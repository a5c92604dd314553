#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "serve/output.h"

namespace ernie::serve {

// Keeps what one request produced, and checks the order of calls that OutputSink promises.
class RecordingSink : public OutputSink {
 public:
  void on_start(const PromptInfo& info) override {
    call([&] {
      EXPECT_FALSE(started_) << "on_start twice";
      EXPECT_TRUE(deltas_.empty());
      started_ = true;
      info_ = info;
    });
  }
  void on_delta(const Delta& delta, const Usage& so_far) override {
    call([&] {
      EXPECT_TRUE(started_) << "a delta before on_start";
      for (const Delta& earlier : deltas_) {
        EXPECT_FALSE(earlier.index == delta.index && earlier.finish_reason)
            << "a delta after the end of choice " << delta.index;
      }
      deltas_.push_back(delta);
      so_far_.push_back(so_far);
    });
  }
  void on_done(const Usage& usage) override {
    call([&] { usage_ = usage; });
  }
  void on_error(const Error& error) override {
    call([&] { error_ = error; });
  }

  // Waits for on_done or on_error; false after ten seconds.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return usage_ || error_; });
  }

  // These wait themselves.
  std::optional<Usage> usage() { return wait() ? usage_ : std::nullopt; }
  std::optional<Error> error() { return wait() ? error_ : std::nullopt; }

  bool started() { return read(started_); }
  bool ended() {
    std::lock_guard lock(mutex_);
    return usage_ || error_;
  }
  PromptInfo info() { return read(info_); }
  std::vector<Delta> deltas() { return read(deltas_); }
  std::vector<Usage> so_far() { return read(so_far_); }

  // All text of one choice.
  Delta choice(int index = 0) {
    Delta all{.index = index};
    for (const Delta& delta : deltas()) {
      if (delta.index != index) continue;
      all.content += delta.content;
      all.reasoning += delta.reasoning;
      all.token_ids.insert(all.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
      all.logprobs.insert(all.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
      all.prompt.insert(all.prompt.end(), delta.prompt.begin(), delta.prompt.end());
      if (delta.finish_reason) all.finish_reason = delta.finish_reason;
    }
    return all;
  }

 private:
  template <typename F>
  void call(F&& f) {
    EXPECT_FALSE(inside_.exchange(true)) << "calls overlap";
    {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(usage_ || error_) << "a call after the end";
      f();
    }
    changed_.notify_all();
    inside_ = false;
  }
  template <typename T>
  T read(const T& value) {
    std::lock_guard lock(mutex_);
    return value;
  }

  std::atomic<bool> inside_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  PromptInfo info_;
  std::vector<Delta> deltas_;
  std::vector<Usage> so_far_;
  std::optional<Usage> usage_;
  std::optional<Error> error_;
};

}  // namespace ernie::serve
