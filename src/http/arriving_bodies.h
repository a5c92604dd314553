#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/limiter.h"

namespace ernie::http {

// Bodies that are not whole yet, with their shares of the memory of all requests. When that is full
// they make room: to a whole request, whoever made it, any of them, and to another body one that
// comes much more slowly. Of those the client goes that holds most, by the body that is slowest.
// So bodies that are held short of their ends keep out nobody who sends his, and among many that
// come as fast as each other the newcomers wait, so that the rest arrive. Thread-safe.
class ArrivingBodies : public std::enable_shared_from_this<ArrivingBodies> {
 private:
  struct Entry;
  struct Peer;

 public:
  // One of them, as its connection sees it.
  class Body {
   public:
    ~Body();
    // Counts `bytes` that came, the last ones if `whole`. False when there is no room for them, or
    // the body had to make room for another one.
    bool grow(size_t bytes, bool whole);
    bool evicted() const;
    Limiter::Share take();  // of a whole body

   private:
    friend class ArrivingBodies;
    Body(std::shared_ptr<ArrivingBodies> owner, std::list<Entry>::iterator entry)
        : owner_(std::move(owner)), entry_(entry) {}

    const std::shared_ptr<ArrivingBodies> owner_;
    const std::list<Entry>::iterator entry_;
  };

  static std::shared_ptr<ArrivingBodies> create(std::shared_ptr<Limiter> memory);
  explicit ArrivingBodies(std::shared_ptr<Limiter> memory);
  ~ArrivingBodies();

  // `wake` is called when the body has made room for another one; it must not block.
  std::unique_ptr<Body> begin(const std::string& peer, std::function<void()> wake);

 private:
  bool evict(double below_rate);  // bytes per second; false when none is that slow
  // Makes a change to an entry and keeps the orders below. With the lock held.
  template <typename Change>
  void change(Entry& entry, const Change& make);

  const std::shared_ptr<Limiter> memory_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;
  std::unordered_map<std::string, Peer> peers_;  // those that have entries
  // Of entries that may have to make room: by pace, and their peers by what they hold.
  std::set<std::pair<double, Entry*>> slowest_;
  std::set<std::pair<size_t, Peer*>> largest_;
};

}  // namespace ernie::http
