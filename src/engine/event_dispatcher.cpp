#include "engine/event_dispatcher.h"

#include "base/thread_name.h"

namespace ernie::engine {

EventDispatcher::EventDispatcher(std::function<void()> finished)
    : finished_(std::move(finished)), thread_([this] { run(); }) {}

EventDispatcher::~EventDispatcher() {
  queue_.close();
  thread_.join();
}

void EventDispatcher::deliver(Batch batch) {
  if (!batch.empty()) queue_.push(std::move(batch));
}

void EventDispatcher::call(std::function<void()> function) { queue_.push(std::move(function)); }

void EventDispatcher::run() {
  set_thread_name("ernie-output");
  while (auto item = queue_.pop()) {
    if (const auto* function = std::get_if<std::function<void()>>(&*item)) {
      (*function)();
      continue;
    }
    for (const auto& [sink, what] : std::get<Batch>(*item)) {
      if (const auto* token = std::get_if<TokenEvent>(&what)) {
        sink->on_token(*token);
      } else if (const auto* prompt = std::get_if<PromptEvent>(&what)) {
        sink->on_prompt(*prompt);
      } else {
        const auto& finish = std::get<Finish>(what);
        sink->on_finish(finish.reason, finish.stats, finish.error);
        finished_();
      }
    }
  }
}

}  // namespace ernie::engine
