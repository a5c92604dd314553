#pragma once

#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/client_id.h"

namespace ernie {

// Unbounded multi-producer multi-consumer queue that can be closed, from which clients take turns:
// first in, first out for each of them, however many items another one has. Thread-safe.
// After close(), push() is refused and pop() drains what is left, then returns nullopt.
template <typename T>
class FairQueue {
 public:
  bool push(ClientId client, T value) {
    std::list<ClientId> turn{client};
    {
      std::lock_guard lock(mutex_);
      if (closed_) return false;
      std::deque<T>& own = items_[client];
      own.push_back(std::move(value));
      if (own.size() == 1) turns_.splice(turns_.end(), turn);
    }
    ready_.notify_one();
    return true;
  }

  // Waits for an item; nullopt when the queue is closed and empty.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return closed_ || !turns_.empty(); });
    if (turns_.empty()) return std::nullopt;
    const auto own = items_.find(turns_.front());
    std::optional<T> value(std::move(own->second.front()));
    own->second.pop_front();
    if (own->second.empty()) {
      items_.erase(own);
      turns_.pop_front();
    } else {
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return value;
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::unordered_map<ClientId, std::deque<T>> items_;
  std::list<ClientId> turns_;  // each that has items, once; a list, so that pop() never allocates
  bool closed_ = false;
};

}  // namespace ernie
