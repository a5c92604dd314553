#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/client_id.h"

namespace ernie::sched {

// Counts the tokens that were computed for each client, so that the one that got least is next: the
// virtual token counters of "Fairness in Serving Large Language Models" (arXiv 2401.00588). Nobody
// saves up while away: a client whose first sequence comes starts level with the one that got least
// of those present. Who got more keeps that count for as long as others are there.
class ClientTurns {
 public:
  void join(ClientId client);   // with one more sequence
  void leave(ClientId client);  // with one less
  // `tokens` < 0 takes a charge back. The client must be present.
  void charge(ClientId client, int64_t tokens) { counters_.at(client).tokens += tokens; }
  int64_t tokens(ClientId client) const { return counters_.at(client).tokens; }

 private:
  struct Counter {
    int64_t tokens = 0;
    int sequences = 0;
  };
  std::unordered_map<ClientId, Counter> counters_;
  int present_ = 0;  // clients that have sequences
};

}  // namespace ernie::sched
