#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/client_id.h"

namespace ernie {

// Counts something scarce (requests, sequences, tokens) against a limit for all clients together,
// and one for each. When all of it is taken, a client still gets an equal share, the limit divided
// by the clients that hold any, so that nobody keeps others out by being first; what is held then
// passes the limit, by a factor that grows as the logarithm of the number of clients. Thread-safe.
class FairLimiter : public std::enable_shared_from_this<FairLimiter> {
 public:
  // What a client holds, given back when it is destroyed.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept { *this = std::move(other); }
    Share& operator=(Share&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(client_, other.client_);
      std::swap(amount_, other.amount_);
      return *this;
    }
    ~Share() {
      if (owner_ && amount_ > 0) owner_->give_back(client_, amount_);
    }

    // Takes `amount`, at most all of it, out of this share.
    Share split(size_t amount) {
      amount_ -= amount;
      return Share(owner_, client_, amount);
    }

   private:
    friend class FairLimiter;
    Share(std::shared_ptr<FairLimiter> owner, ClientId client, size_t amount)
        : owner_(std::move(owner)), client_(client), amount_(amount) {}

    std::shared_ptr<FairLimiter> owner_;
    ClientId client_ = 0;
    size_t amount_ = 0;
  };

  enum class Room { kThere, kFull, kClientFull };

  // 0: no limit.
  FairLimiter(size_t limit, size_t limit_of_client)
      : limit_(limit > 0 ? limit : kNone),
        limit_of_client_(limit_of_client > 0 ? limit_of_client : kNone) {}

  Room room(ClientId client, size_t amount = 1) const {
    std::lock_guard lock(mutex_);
    return room_locked(client, amount);
  }

  std::optional<Share> acquire(ClientId client, size_t amount = 1) {
    std::lock_guard lock(mutex_);
    if (room_locked(client, amount) != Room::kThere) return std::nullopt;
    held_[client] += amount;
    used_ += amount;
    return Share(shared_from_this(), client, amount);
  }

  size_t used() const {
    std::lock_guard lock(mutex_);
    return used_;
  }
  size_t used_by(ClientId client) const {
    std::lock_guard lock(mutex_);
    const auto held = held_.find(client);
    return held == held_.end() ? 0 : held->second;
  }
  size_t limit() const { return limit_; }
  size_t limit_of_client() const { return limit_of_client_; }

 private:
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();

  Room room_locked(ClientId client, size_t amount) const {
    const auto held = held_.find(client);
    const size_t own = held == held_.end() ? 0 : held->second;
    if (amount > limit_of_client_ || own > limit_of_client_ - amount) return Room::kClientFull;
    if (amount <= limit_ && used_ <= limit_ - amount) return Room::kThere;
    const size_t share = limit_ / (held_.size() + (own == 0 ? 1 : 0));
    return amount <= share && own <= share - amount ? Room::kThere : Room::kFull;
  }
  void give_back(ClientId client, size_t amount) {
    std::lock_guard lock(mutex_);
    used_ -= amount;
    const auto held = held_.find(client);
    held->second -= amount;
    if (held->second == 0) held_.erase(held);
  }

  const size_t limit_;
  const size_t limit_of_client_;
  mutable std::mutex mutex_;
  std::unordered_map<ClientId, size_t> held_;  // nobody with 0
  size_t used_ = 0;
};

}  // namespace ernie
