#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "sched/invariants.h"
#include "sched/planner.h"
#include "sched/waiting_queues.h"

namespace ernie::sched {

class Scheduler;

// Blocks and queue changes of one planned step. Move-only; destroying it puts the scheduler back to
// where it was before reserve(), provided that the step has not run. Reservations are undone newest
// first, and not after a commit(). Nothing is undone while an exception is on its way; the
// scheduler must not be used again then.
class Reservation {
 public:
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&&) = delete;
  ~Reservation();
  const StepPlan& plan() const { return plan_; }

 private:
  friend class Scheduler;
  struct Moved {  // preempted or admitted
    Sequence before;
    size_t index = 0;  // in the running list, when preempted
  };
  Reservation(Scheduler* scheduler, StepPlan plan);

  Scheduler* scheduler_;
  StepPlan plan_;
  size_t mark_ = 0;
  uint64_t epoch_ = 0;
  std::vector<Moved> preempted_;
  std::vector<Moved> admitted_;
  std::vector<size_t> blocks_before_;  // table size per row
  double kept_back_before_ = 0;
};

// Decides what each step computes. Pure host code, used by one thread. A step is a transaction:
// plan() looks, reserve() takes, then commit() records the results or the reservation is dropped.
// Up to two steps may be reserved at a time; they commit in order.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);

  // Whether a request can ever run to its end here; the error names the numbers. Thread-safe.
  static Status check_fits(const SchedulerConfig& config, int64_t prompt_tokens,
                           int64_t max_length);

  // To the end of its client's queue; check_fits() must hold. Changes nothing when it throws.
  void add(Request request);
  // Ends a sequence wherever it is. Its blocks are free at once, or after the steps in flight.
  void remove(SequenceId id);

  // No step computes anything of a held sequence, and others go before it. It keeps its place and
  // blocks, unless it is preempted.
  void hold(SequenceId id);
  void resume(SequenceId id);

  // Where the first step of a sequence that waits would begin now; the prefix cache has the tokens
  // before it.
  int32_t cached_tokens(SequenceId id) const;

  StepPlan plan() const;
  // nullopt, and nothing changed, when blocks are short: the state is no longer what was planned.
  std::optional<Reservation> reserve(StepPlan plan);
  // One result per row of the plan.
  void commit(Reservation reservation, std::span<const RowResult> results);
  // Forgets what is reserved without undoing it; the scheduler must not be used again.
  static void abandon(Reservation reservation);

  const Sequence* find(SequenceId id) const;  // nullptr when it has ended
  int running() const;
  int waiting() const;
  uint64_t preemptions() const { return preemptions_; }
  const BlockManager& blocks() const { return blocks_; }
  const SchedulerConfig& config() const { return config_; }
  Snapshot snapshot() const;

 private:
  friend class Reservation;
  void undo(Reservation& reservation);
  void apply_preemptions(Reservation& r);
  void apply_admissions(Reservation& r);
  bool apply_rows(Reservation& r);
  void commit_row(const PlanRow& row, const RowResult& result);
  void doom(Sequence& sequence);  // ends it; reap() does the rest
  void publish(Sequence& sequence);
  void release_blocks(Sequence& sequence);
  void reap();  // drops doomed sequences no step needs any more
  void verify() const;
  Sequence& at(SequenceId id) const;

  const SchedulerConfig config_;
  BlockManager blocks_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;
  WaitingQueues waiting_;
  std::vector<Sequence*> doomed_;
  ClientTurns turns_;
  int steps_in_flight_ = 0;
  uint64_t epoch_ = 0;  // counts commits
  uint64_t preemptions_ = 0;
  double blocks_kept_back_ = 0;  // per running sequence; raised by a preemption, then decays
};

}  // namespace ernie::sched
