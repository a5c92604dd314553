#include "http/arriving_bodies.h"

#include <cmath>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace ernie::http {
namespace {

constexpr double kRateSeconds = 0.5;  // how long what came counts in a rate
constexpr double kMuchSlower = 1.0 / 8;

}  // namespace

struct ArrivingBodies::Entry {
  const std::string peer;
  const std::function<void()> wake;
  Limiter::Share share;
  double last_rate = 0;  // bytes per second, when bytes came last
  Clock::time_point last_time = Clock::now();
  bool whole = false;
  bool evicted = false;

  double rate() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - last_time).count();
    return last_rate * std::exp(-seconds / kRateSeconds);
  }
};

ArrivingBodies::ArrivingBodies(std::shared_ptr<Limiter> memory) : memory_(std::move(memory)) {}
ArrivingBodies::~ArrivingBodies() = default;

std::shared_ptr<ArrivingBodies> ArrivingBodies::create(std::shared_ptr<Limiter> memory) {
  auto bodies = std::make_shared<ArrivingBodies>(memory);
  memory->set_reclaim([weak = std::weak_ptr(bodies)] {
    const auto alive = weak.lock();
    return alive && alive->evict(std::numeric_limits<double>::infinity());
  });
  return bodies;
}

std::unique_ptr<ArrivingBodies::Body> ArrivingBodies::begin(const std::string& peer,
                                                            std::function<void()> wake) {
  Limiter::Share none = *memory_->acquire(0);
  std::lock_guard lock(mutex_);
  const auto entry = entries_.insert(
      entries_.end(), Entry{.peer = peer, .wake = std::move(wake), .share = std::move(none)});
  return std::unique_ptr<Body>(new Body(shared_from_this(), entry));
}

bool ArrivingBodies::evict(double below_rate) {
  std::lock_guard lock(mutex_);
  std::unordered_map<std::string_view, size_t> held;
  for (const Entry& entry : entries_) held[entry.peer] += entry.share.amount();
  Entry* victim = nullptr;
  std::pair<size_t, double> most;
  for (Entry& entry : entries_) {
    const double rate = entry.rate();
    if (entry.whole || entry.share.amount() == 0 || rate >= below_rate) continue;
    const std::pair<size_t, double> claim{held[entry.peer], -rate};
    if (victim && claim <= most) continue;
    victim = &entry;
    most = claim;
  }
  if (!victim) return false;
  victim->evicted = true;
  victim->share = {};
  victim->wake();
  return true;
}

ArrivingBodies::Body::~Body() {
  std::lock_guard lock(owner_->mutex_);
  owner_->entries_.erase(entry_);
}

bool ArrivingBodies::Body::grow(size_t bytes, bool whole) {
  double rate = 0;
  {
    std::lock_guard lock(owner_->mutex_);
    if (entry_->evicted) return false;
    entry_->whole = whole;
    entry_->last_rate = entry_->rate() + static_cast<double>(bytes) / kRateSeconds;
    entry_->last_time = Clock::now();
    rate = entry_->last_rate;
  }
  auto more = whole ? owner_->memory_->acquire(bytes) : owner_->memory_->acquire_free(bytes);
  while (!more && owner_->evict(rate * kMuchSlower)) more = owner_->memory_->acquire_free(bytes);
  std::lock_guard lock(owner_->mutex_);
  if (!more || entry_->evicted) return false;
  entry_->share.add(std::move(*more));
  return true;
}

bool ArrivingBodies::Body::evicted() const {
  std::lock_guard lock(owner_->mutex_);
  return entry_->evicted;
}

Limiter::Share ArrivingBodies::Body::take() {
  std::lock_guard lock(owner_->mutex_);
  return std::move(entry_->share);
}

}  // namespace ernie::http
