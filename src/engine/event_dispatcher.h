#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "base/queue.h"
#include "engine/engine.h"

namespace ernie::engine {

// The output thread: calls the sinks, so that a slow one cannot hold up a step.
class EventDispatcher {
 public:
  struct Finish {
    FinishReason reason = FinishReason::kStop;
    RequestStats stats;
    std::optional<Error> error;
  };
  struct Event {
    std::shared_ptr<EventSink> sink;
    std::variant<PromptEvent, TokenEvent, Finish> what;
  };
  using Batch = std::vector<Event>;

  // `finished` is called on the output thread after each on_finish().
  explicit EventDispatcher(std::function<void()> finished);
  ~EventDispatcher();  // delivers what is queued and joins

  // Takes the events out of `batch` and calls `then` after them. When it throws, the batch is as
  // before.
  void deliver(Batch& batch, std::function<void()> then = {});

 private:
  struct Work {
    Batch events;
    std::function<void()> then;
  };
  void run();
  static void deliver(const Event& event);

  const std::function<void()> finished_;
  Queue<Work> queue_;
  std::thread thread_;
};

}  // namespace ernie::engine
