#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "sched/sequence.h"

namespace ernie::sched {

// The sequences that wait: preempted ones first, then by arrival; each client's in a queue of its
// own, so that nobody has to walk past those of another.
class WaitingQueues {
 public:
  using Queue = std::map<int64_t, Sequence*>;  // by `place`

  void push_back(Sequence& s);
  void push_front(Sequence& s);
  void insert(Sequence& s);  // where it was
  void erase(const Sequence& s);

  size_t size() const { return size_; }
  // None of them is empty.
  const std::unordered_map<ClientId, Queue>& of_clients() const { return queues_; }
  std::vector<const Sequence*> all() const;  // in order

 private:
  std::unordered_map<ClientId, Queue> queues_;
  size_t size_ = 0;
  int64_t first_ = 0;  // places begin before the first and end with the last
  int64_t last_ = 0;
};

}  // namespace ernie::sched
