#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/engine.h"

namespace ernie::engine {

// How far a rank's thread has come.
struct RankProgress {
  int tasks_left = 0;          // given to it and not ended; all ranks are given the same
  Clock::time_point last_end;  // of its last task
  std::optional<Clock::time_point> waiting_since;  // for the others, inside a collective
};

// How often to look; nothing when there is no limit.
std::optional<std::chrono::milliseconds> watch_period(const StepTimeLimits& limits);

struct Hang {
  int rank = 0;
  std::string what;
};

// A rank that another has waited for for longer than limits.rank: inside a collective, or since the
// other ended a step that this one has not ended. Else, when the oldest step in flight has taken
// longer than limits.step, the rank that is furthest behind. What was before `step_began` does not
// count.
std::optional<Hang> find_hang(std::span<const RankProgress> ranks, Clock::time_point step_began,
                              const StepTimeLimits& limits, Clock::time_point now);

}  // namespace ernie::engine
