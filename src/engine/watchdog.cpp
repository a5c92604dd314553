#include "engine/watchdog.h"

#include <fmt/format.h>

#include <algorithm>

namespace ernie::engine {
namespace {

using std::chrono::milliseconds;

// Since when `other` has been waiting for `rank`.
std::optional<Clock::time_point> waiting_for(const RankProgress& rank, const RankProgress& other) {
  if (rank.waiting_since || rank.tasks_left == 0) return {};
  if (other.tasks_left < rank.tasks_left) return other.last_end;
  return other.waiting_since;
}

// A rank that waits for the others is not the one to blame.
size_t furthest_behind(std::span<const RankProgress> ranks) {
  const auto key = [](const RankProgress& rank) {
    return std::pair(!rank.waiting_since.has_value(), rank.tasks_left);
  };
  return static_cast<size_t>(std::ranges::max_element(ranks, {}, key) - ranks.begin());
}

}  // namespace

std::optional<milliseconds> watch_period(const StepTimeLimits& limits) {
  std::optional<milliseconds> shortest;
  for (const milliseconds limit : {limits.step, limits.rank}) {
    if (limit.count() > 0) shortest = std::min(limit, shortest.value_or(limit));
  }
  if (!shortest) return {};
  return std::clamp(*shortest / 16, milliseconds(1), milliseconds(100));
}

std::optional<Hang> find_hang(std::span<const RankProgress> ranks, Clock::time_point step_began,
                              const StepTimeLimits& limits, Clock::time_point now) {
  for (size_t rank = 0; rank < ranks.size() && limits.rank.count() > 0; ++rank) {
    for (size_t other = 0; other < ranks.size(); ++other) {
      const auto since = waiting_for(ranks[rank], ranks[other]);
      if (!since || now - std::max(*since, step_began) <= limits.rank) continue;
      return Hang{static_cast<int>(rank),
                  fmt::format("it hangs: rank {} has waited for it for more than {} ms", other,
                              limits.rank.count())};
    }
  }
  if (limits.step.count() == 0 || now - step_began <= limits.step) return {};
  return Hang{static_cast<int>(furthest_behind(ranks)),
              fmt::format("it hangs: a step has taken more than {} ms", limits.step.count())};
}

}  // namespace ernie::engine
