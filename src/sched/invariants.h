#pragma once

#include <string>
#include <vector>

#include "sched/block_manager.h"
#include "sched/planner.h"

namespace ernie::sched {

// A copy of everything the scheduler's books say.
struct Snapshot {
  SchedulerConfig config;
  std::vector<int32_t> refs;  // by block
  std::vector<BlockId> free_blocks;
  struct Cached {
    BlockId block = -1;
    PrefixCache::Entry entry;
  };
  std::vector<Cached> cache;
  int available = 0;
  std::vector<Sequence> running;
  std::vector<Sequence> waiting;
  int steps_in_flight = 0;
};

// Empty when all is consistent, else what is wrong. Pure.
std::string check_invariants(const Snapshot& snapshot);

// The same for a plan made from this state.
std::string check_plan(const Snapshot& snapshot, const StepPlan& plan);

}  // namespace ernie::sched
