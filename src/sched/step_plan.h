#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sched/sequence.h"

namespace ernie::sched {

// One sequence's share of a step: tokens [first_token, first_token + num_tokens).
struct PlanRow {
  SequenceId sequence = 0;
  int32_t first_token = 0;
  int32_t num_tokens = 0;
  int32_t media_extension = 0;      // of num_tokens: added so that the step ends after a media unit
  int32_t new_blocks = 0;           // blocks wanted besides those the sequence holds
  bool wants_logits = false;        // the row reaches the sequence's last token
  bool last_token_pending = false;  // that token is still being sampled by the step before

  // Positions whose logits score the token of the prompt that comes next; each takes a draw.
  std::vector<int32_t> scores;

  int32_t end() const { return first_token + num_tokens; }
  int32_t draws() const { return static_cast<int32_t>(scores.size()) + (wants_logits ? 1 : 0); }
};

// A waiting sequence that starts running; its prefix is taken from the cache.
struct Admission {
  SequenceId sequence = 0;
  std::vector<BlockId> hit;  // its first blocks
};

// What the next step shall do: pure data, nothing has changed yet.
struct StepPlan {
  std::vector<SequenceId> preempted;  // in this order, before anything else
  bool short_of_blocks = false;       // which is why some are
  std::vector<Admission> admissions;  // in queue order
  std::vector<PlanRow> rows;          // decode rows, then prefill rows, then admissions
  int32_t total_tokens = 0;           // of all rows

  bool empty() const { return rows.empty() && preempted.empty(); }
};

// What a step did for one row.
struct RowResult {
  std::optional<int32_t> token;  // sampled, when the row wanted logits
  bool finished = false;         // the token was the last one
  bool failed = false;           // the row's results cannot be used; the sequence ends
};

}  // namespace ernie::sched
