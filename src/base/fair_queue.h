#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <limits>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/client_id.h"

namespace ernie {

// Unbounded multi-producer multi-consumer queue that can be closed, from which clients take turns:
// first in, first out for each of them, however many items another one has. Of one client,
// `at_once` items at most are out, from pop() until done(). Thread-safe.
// After close(), push() is refused and pop() drains what is left, then returns nullopt.
template <typename T>
class FairQueue {
 public:
  struct Item {
    ClientId client = 0;
    T value;
  };

  explicit FairQueue(size_t at_once = std::numeric_limits<size_t>::max()) : at_once_(at_once) {}

  bool push(ClientId client, T value) {
    std::list<ClientId> turn{client};
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    const auto [own, added] = clients_.try_emplace(client);
    own->second.items.push_back(std::move(value));
    if (added) own->second.turn.swap(turn);
    ++waiting_;
    take_turn(own->second);
    return true;
  }

  // Waits for an item; nullopt when the queue is closed and empty.
  std::optional<Item> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return !turns_.empty() || (closed_ && waiting_ == 0); });
    if (turns_.empty()) return std::nullopt;
    const ClientId client = turns_.front();
    Client& own = clients_.find(client)->second;
    Item item{client, std::move(own.items.front())};
    own.items.pop_front();
    ++own.out;
    own.turn.splice(own.turn.end(), turns_, turns_.begin());
    if (--waiting_ == 0 && closed_) ready_.notify_all();
    take_turn(own);
    return item;
  }

  // Once for each item of the client that pop() returned.
  void done(ClientId client) {
    std::lock_guard lock(mutex_);
    const auto own = clients_.find(client);
    --own->second.out;
    if (own->second.out == 0 && own->second.items.empty()) {
      clients_.erase(own);
    } else {
      take_turn(own->second);
    }
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

 private:
  struct Client {
    std::deque<T> items;
    size_t out = 0;
    std::list<ClientId> turn;  // itself, while it is not among turns_
  };

  void take_turn(Client& own) {
    if (own.turn.empty() || own.items.empty() || own.out >= at_once_) return;
    turns_.splice(turns_.end(), own.turn);
    ready_.notify_one();
  }

  const size_t at_once_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::unordered_map<ClientId, Client> clients_;  // those with items that wait or are out
  std::list<ClientId> turns_;  // each that may go on, once; a list, so that pop() never allocates
  size_t waiting_ = 0;         // items
  bool closed_ = false;
};

}  // namespace ernie
