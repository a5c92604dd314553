#pragma once

#include <atomic>
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

  void deliver(Batch batch);
  void call(std::function<void()> function);  // after all events before it

 private:
  void run();

  const std::function<void()> finished_;
  Queue<std::variant<Batch, std::function<void()>>> queue_;
  std::thread thread_;
};

}  // namespace ernie::engine
