#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

namespace ernie {

// Counts something scarce (requests, bytes) against a limit. Thread-safe.
class Limiter : public std::enable_shared_from_this<Limiter> {
 public:
  // A share of the limit, given back when it is destroyed.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept { *this = std::move(other); }
    Share& operator=(Share&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(amount_, other.amount_);
      return *this;
    }
    ~Share() {
      if (owner_) owner_->used_.fetch_sub(amount_);
    }

    // Makes the share larger if the limit allows it.
    bool grow(size_t more) {
      auto extra = owner_->acquire(more);
      if (extra) add(std::move(*extra));
      return extra.has_value();
    }

    // Joins another share of the same limit to this one.
    void add(Share other) { amount_ += std::exchange(other.amount_, 0); }

    // Gives back all but `rest`.
    void shrink_to(size_t rest) {
      if (rest >= amount_) return;
      owner_->used_.fetch_sub(amount_ - rest);
      amount_ = rest;
    }

    size_t amount() const { return amount_; }

   private:
    friend class Limiter;
    Share(std::shared_ptr<Limiter> owner, size_t amount)
        : owner_(std::move(owner)), amount_(amount) {}

    std::shared_ptr<Limiter> owner_;
    size_t amount_ = 0;
  };

  explicit Limiter(size_t limit) : limit_(limit) {}
  static std::shared_ptr<Limiter> unlimited() {
    return std::make_shared<Limiter>(std::numeric_limits<size_t>::max());
  }

  // Takes `amount` if that stays within the limit; while it does not, what `reclaim` gives back may
  // make room for it.
  std::optional<Share> acquire(size_t amount = 1) {
    auto share = acquire_free(amount);
    if (share || amount > limit_) return share;
    std::function<bool()> reclaim;
    {
      std::lock_guard lock(mutex_);
      reclaim = reclaim_;
    }
    while (!share && reclaim && reclaim()) share = acquire_free(amount);
    return share;
  }

  // The same without asking anybody to give something back.
  std::optional<Share> acquire_free(size_t amount) {
    size_t used = used_.load();
    do {
      if (amount > limit_ || used > limit_ - amount) return std::nullopt;
    } while (!used_.compare_exchange_weak(used, used + amount));
    return Share(shared_from_this(), amount);
  }

  // Waits until `amount`, at most the limit, fits; who came first goes first. Nothing once `stop`
  // is true, which is seen within kPoll.
  std::optional<Share> wait(size_t amount, const std::atomic<bool>& stop) {
    std::unique_lock lock(mutex_);
    const uint64_t ticket = next_ticket_++;
    waiting_.insert(ticket);
    std::optional<Share> share;
    while (!stop) {
      if (*waiting_.begin() == ticket) share = acquire_free(amount);
      if (share) break;
      turn_.wait_for(lock, kPoll);
    }
    waiting_.erase(ticket);
    turn_.notify_all();
    return share;
  }

  // `reclaim` gives back shares of others, if it can, and says whether it did. It is called on any
  // thread that acquires, and must not acquire itself.
  void set_reclaim(std::function<bool()> reclaim) {
    std::lock_guard lock(mutex_);
    reclaim_ = std::move(reclaim);
  }

  size_t used() const { return used_.load(); }
  size_t limit() const { return limit_; }

 private:
  static constexpr std::chrono::milliseconds kPoll{20};

  const size_t limit_;
  std::atomic<size_t> used_ = 0;

  std::mutex mutex_;  // of what follows; shares are taken and given back without it
  std::function<bool()> reclaim_;
  std::condition_variable turn_;
  uint64_t next_ticket_ = 0;
  std::set<uint64_t> waiting_;
};

}  // namespace ernie
