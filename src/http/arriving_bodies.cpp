#include "http/arriving_bodies.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

namespace ernie::http {
namespace {

constexpr double kRateSeconds = 0.5;  // how long what came counts in a rate
constexpr double kMuchSlower = 1.0 / 8;

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

// A body's rate falls by the same factor in the same time whatever it is, so that bodies keep their
// order until bytes come. This number stays as it is: the logarithm of the rate at time 0.
double pace_of(double rate, double time) { return std::log(rate) + time / kRateSeconds; }
double rate_of(double pace, double time) { return std::exp(pace - time / kRateSeconds); }

}  // namespace

struct ArrivingBodies::Peer {
  size_t entries = 0;
  size_t held = 0;
  std::set<std::pair<double, Entry*>> slowest;  // as that of all
};

struct ArrivingBodies::Entry {
  const std::string peer_name;
  Peer* const peer;
  const std::function<void()> wake;
  Limiter::Share share;
  double pace = -std::numeric_limits<double>::infinity();
  bool whole = false;
  bool evicted = false;

  bool may_go() const { return !whole && share.amount() > 0; }
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
  Peer& own = peers_[peer];
  const auto entry =
      entries_.insert(entries_.end(), Entry{peer, &own, std::move(wake), std::move(none)});
  ++own.entries;
  return std::unique_ptr<Body>(new Body(shared_from_this(), entry));
}

template <typename Change>
void ArrivingBodies::change(Entry& entry, const Change& make) {
  Peer& peer = *entry.peer;
  largest_.erase({peer.held, &peer});
  slowest_.erase({entry.pace, &entry});
  peer.slowest.erase({entry.pace, &entry});
  peer.held -= entry.share.amount();
  make();
  peer.held += entry.share.amount();
  if (entry.may_go()) {
    slowest_.emplace(entry.pace, &entry);
    peer.slowest.emplace(entry.pace, &entry);
  }
  if (!peer.slowest.empty()) largest_.emplace(peer.held, &peer);
}

bool ArrivingBodies::evict(double below_rate) {
  std::lock_guard lock(mutex_);
  const double time = now();
  const auto slow_enough = [&](const auto& slowest) {
    return rate_of(slowest.begin()->first, time) < below_rate;
  };
  if (slowest_.empty() || !slow_enough(slowest_)) return false;
  for (auto largest = largest_.rbegin(); largest != largest_.rend(); ++largest) {
    const Peer& peer = *largest->second;
    if (!slow_enough(peer.slowest)) continue;
    Entry& victim = *peer.slowest.begin()->second;
    change(victim, [&] {
      victim.evicted = true;
      victim.share = {};
    });
    victim.wake();
    return true;
  }
  return false;
}

ArrivingBodies::Body::~Body() {
  std::lock_guard lock(owner_->mutex_);
  owner_->change(*entry_, [&] { entry_->share = {}; });
  if (--entry_->peer->entries == 0) owner_->peers_.erase(entry_->peer_name);
  owner_->entries_.erase(entry_);
}

bool ArrivingBodies::Body::grow(size_t bytes, bool whole) {
  double rate = 0;
  {
    std::lock_guard lock(owner_->mutex_);
    if (entry_->evicted) return false;
    const double time = now();
    rate = rate_of(entry_->pace, time) + static_cast<double>(bytes) / kRateSeconds;
    owner_->change(*entry_, [&] {
      entry_->whole = whole;
      entry_->pace = pace_of(rate, time);
    });
  }
  auto more = whole ? owner_->memory_->acquire(bytes) : owner_->memory_->acquire_free(bytes);
  while (!more && owner_->evict(rate * kMuchSlower)) more = owner_->memory_->acquire_free(bytes);
  std::lock_guard lock(owner_->mutex_);
  if (!more || entry_->evicted) return false;
  owner_->change(*entry_, [&] { entry_->share.add(std::move(*more)); });
  return true;
}

bool ArrivingBodies::Body::evicted() const {
  std::lock_guard lock(owner_->mutex_);
  return entry_->evicted;
}

Limiter::Share ArrivingBodies::Body::take() {
  std::lock_guard lock(owner_->mutex_);
  Limiter::Share all;
  owner_->change(*entry_, [&] { std::swap(all, entry_->share); });
  return all;
}

}  // namespace ernie::http
