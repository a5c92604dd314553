#include "sched/client_turns.h"

#include <algorithm>
#include <limits>

namespace ernie::sched {
namespace {

constexpr int kMostRemembered = 1024;  // clients that are away

}  // namespace

void ClientTurns::join(ClientId client) {
  Counter& counter = counters_[client];
  if (counter.sequences++ > 0) return;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [id, other] : counters_) {
    if (id != client && other.sequences > 0) least = std::min(least, other.tokens);
  }
  if (present_++ > 0) counter.tokens = std::max(counter.tokens, least);
}

void ClientTurns::leave(ClientId client) {
  if (--counters_.at(client).sequences > 0) return;
  --present_;
  const auto away = static_cast<int>(counters_.size()) - present_;
  if (present_ > 0 && away <= kMostRemembered) return;
  std::erase_if(counters_, [](const auto& entry) { return entry.second.sequences == 0; });
}

}  // namespace ernie::sched
