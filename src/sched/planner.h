#pragma once

#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sched/block_manager.h"
#include "sched/client_turns.h"
#include "sched/step_plan.h"
#include "sched/waiting_queues.h"

namespace ernie::sched {

struct SchedulerConfig {
  int num_blocks = 0;
  int block_size = 64;
  int max_num_seqs = 8;
  int max_num_batched_tokens = 8192;  // at least max_num_seqs
  bool enable_prefix_caching = true;
  bool enable_chunked_prefill = true;
  bool disable_chunked_mm_input = false;  // a cache hit never ends inside a media unit
  bool check_invariants = false;          // abort when a step leaves the books wrong
};

// The cached blocks with which a sequence that waits would begin now.
std::vector<BlockId> find_hit(const Sequence& sequence, const SchedulerConfig& config,
                              const BlockManager& blocks);

// The scheduler's state, as the planner reads it.
struct SchedulerView {
  const SchedulerConfig& config;
  const BlockManager& blocks;
  const std::vector<Sequence*>& running;  // by admission
  const WaitingQueues& waiting;
  const ClientTurns& turns;
  double blocks_kept_back = 0;  // per running sequence, when others are admitted
};

// Plans one step and changes nothing. The rules are FastDeploy's V1 scheduler: decode rows, then
// unfinished prefills, then new requests, while the token budget lasts; a row that finds no block
// preempts another sequence; nobody is admitted in such a step. A step draws max_num_seqs tokens at
// most: one is kept for each sequence that may run, and prompts to be scored share the others.
// Clients take turns in being admitted; of one client, and of clients that got as much, the first
// to come that is not held is first. If that one does not fit, nobody else goes before it. Where
// all places are taken, a client that is next and has none gets one of those of the client that has
// most of them, unless that one got fewer tokens.
class Planner {
 public:
  explicit Planner(const SchedulerView& view);
  StepPlan plan() &&;

 private:
  // A client that waits.
  struct Turn {
    int64_t tokens = 0;  // of the client, with what this plan gives it
    WaitingQueues::Queue::const_iterator next, end;

    void skip_doomed_and_held() {
      while (next != end && (next->second->doomed || next->second->held)) ++next;
    }
    bool is_over() const { return next == end; }
    std::pair<int64_t, int64_t> rank() const { return {tokens, next->first}; }
  };

  bool can_run(const Sequence& sequence) const;
  void plan_running(Sequence& sequence);
  std::vector<Turn> turns_of_clients() const;
  void plan_admissions();
  bool can_admit() const;
  bool plan_admission(Sequence& sequence);
  // The sequence's next tokens from `first`; num_tokens is 0 when none may run now.
  PlanRow make_row(const Sequence& sequence, int32_t first) const;
  // How far a prompt that is scored may go from `first` with the draws there are: up to `end`, or
  // the end of the media unit around it.
  int32_t end_of_draws(const Sequence& sequence, int32_t first, int32_t end) const;
  void add_row(PlanRow row);
  // Where no place is free, the sequence that gives its own to a client that has none.
  Sequence* next_to_yield() const;
  // Preempts a sequence for its blocks; false when a step in flight still uses them, or none is
  // left.
  bool preempt();
  void preempt(const Sequence& victim);
  Sequence* next_victim() const;
  int blocks_gained(const Sequence& victim);

  const SchedulerView view_;
  StepPlan plan_;
  int32_t budget_;
  int available_;
  int32_t spare_draws_;  // besides one for each sequence that may run
  std::unordered_set<SequenceId> victims_;
  std::unordered_map<BlockId, int> dropped_;  // references that preemptions will drop
  std::unordered_set<BlockId> claimed_;       // idle blocks that admissions will use
};

}  // namespace ernie::sched
