#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "model/prompt.h"

namespace ernie::serve {

// The media of one prompt that were left out: decoded once, for all choices for which the engine
// asks. Thread-safe.
class LateMedia {
 public:
  // True for the first to ask, who then decodes them and calls put(), or ends the request.
  bool ask(engine::OnPrompt done) {
    std::unique_lock lock(mutex_);
    if (!prompt_) {
      waiting_.push_back(std::move(done));
      return !std::exchange(asked_, true);
    }
    lock.unlock();
    done(prompt_);
    return false;
  }

  void put(std::shared_ptr<const model::Prompt> prompt) {
    std::unique_lock lock(mutex_);
    prompt_ = std::move(prompt);
    const auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    for (const auto& done : waiting) done(prompt_);
  }

 private:
  std::mutex mutex_;
  bool asked_ = false;
  std::vector<engine::OnPrompt> waiting_;
  std::shared_ptr<const model::Prompt> prompt_;
};

}  // namespace ernie::serve
