#include "sched/waiting_queues.h"

#include <algorithm>

#include "base/check.h"

namespace ernie::sched {

void WaitingQueues::push_back(Sequence& s) {
  s.place = ++last_;
  insert(s);
}

void WaitingQueues::push_front(Sequence& s) {
  s.place = --first_;
  insert(s);
}

void WaitingQueues::insert(Sequence& s) {
  Queue& queue = queues_[s.client];
  CHECK(queue.emplace(s.place, &s).second, "two sequences in one place");
  ++size_;
}

void WaitingQueues::erase(const Sequence& s) {
  const auto queue = queues_.find(s.client);
  CHECK(queue != queues_.end() && queue->second.erase(s.place) == 1, "it does not wait");
  if (queue->second.empty()) queues_.erase(queue);
  --size_;
}

std::vector<const Sequence*> WaitingQueues::all() const {
  std::vector<const Sequence*> all;
  for (const auto& [client, queue] : queues_) {
    for (const auto& [place, sequence] : queue) all.push_back(sequence);
  }
  std::ranges::sort(all, {}, &Sequence::place);
  return all;
}

}  // namespace ernie::sched
