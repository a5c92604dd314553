#include "engine/event_dispatcher.h"

#include <exception>
#include <utility>

#include "base/log.h"
#include "base/thread_name.h"

namespace ernie::engine {

EventDispatcher::EventDispatcher(std::function<void()> finished)
    : finished_(std::move(finished)), thread_([this] { run(); }) {}

EventDispatcher::~EventDispatcher() {
  queue_.close();
  thread_.join();
}

void EventDispatcher::deliver(Batch& batch, std::function<void()> then) {
  if (batch.empty() && !then) return;
  Work work{std::exchange(batch, {}), std::move(then)};
  try {
    queue_.push(std::move(work));
  } catch (...) {
    batch = std::move(work.events);
    throw;
  }
}

// What fails is one request's alone, and its end counts.
void EventDispatcher::run() {
  set_thread_name("ernie-output");
  while (auto work = queue_.pop()) {
    for (const Event& event : work->events) {
      try {
        deliver(event);
      } catch (const std::exception& e) {
        log::error("an event of a request could not be delivered: {}", e.what());
      }
      if (std::holds_alternative<Finish>(event.what)) finished_();
    }
    if (work->then) work->then();
  }
}

void EventDispatcher::deliver(const Event& event) {
  const auto& [sink, what] = event;
  if (const auto* token = std::get_if<TokenEvent>(&what)) {
    sink->on_token(*token);
  } else if (const auto* prompt = std::get_if<PromptEvent>(&what)) {
    sink->on_prompt(*prompt);
  } else {
    const auto& finish = std::get<Finish>(what);
    sink->on_finish(finish.reason, finish.stats, finish.error);
  }
}

}  // namespace ernie::engine
