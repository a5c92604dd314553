#include "serve/deadlines.h"

#include "base/thread_name.h"

namespace ernie::serve {

Deadlines::Deadlines() : thread_([this] { run(); }) {}

Deadlines::~Deadlines() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::shared_ptr<const void> Deadlines::at(Time time, std::function<void()> call) {
  std::lock_guard lock(mutex_);
  const Key key{time, next_++};
  calls_.emplace(key, std::move(call));
  changed_.notify_all();
  return {this, [this, key](const void*) {
            std::lock_guard erase_lock(mutex_);
            calls_.erase(key);
          }};
}

void Deadlines::run() {
  set_thread_name("ernie-deadline");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (calls_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto next = calls_.begin();
    const Time time = next->first.first;
    if (std::chrono::steady_clock::now() < time) {
      changed_.wait_until(lock, time);
      continue;
    }
    const auto call = std::move(next->second);
    calls_.erase(next);
    lock.unlock();
    call();
    lock.lock();
  }
}

}  // namespace ernie::serve
