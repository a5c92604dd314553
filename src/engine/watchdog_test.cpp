#include "engine/watchdog.h"

#include <gtest/gtest.h>

#include <array>

namespace ernie::engine {
namespace {

using namespace std::chrono_literals;

constexpr StepTimeLimits kLimits{.step = 60s, .rank = 2s};
const Clock::time_point kStart{1h};

// A90
TEST(Watchdog, NamesTheRankThatHasNotEndedWhatAnotherEnded) {
  const std::array<RankProgress, 2> ranks{RankProgress{.tasks_left = 0, .last_end = kStart + 1s},
                                          RankProgress{.tasks_left = 1, .last_end = kStart - 5s}};
  EXPECT_FALSE(find_hang(ranks, kStart, kLimits, kStart + 3s));
  const auto hang = find_hang(ranks, kStart, kLimits, kStart + 3001ms);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 1);
  EXPECT_NE(hang->what.find("rank 0 has waited for it for more than 2000 ms"), std::string::npos);
}

// A90
TEST(Watchdog, NamesTheRankThatOthersWaitForInACollective) {
  const std::array<RankProgress, 3> ranks{
      RankProgress{.tasks_left = 1, .waiting_since = kStart + 1s}, RankProgress{.tasks_left = 1},
      RankProgress{.tasks_left = 1, .waiting_since = kStart + 2s}};
  EXPECT_FALSE(find_hang(ranks, kStart, kLimits, kStart + 3s));
  const auto hang = find_hang(ranks, kStart, kLimits, kStart + 3001ms);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 1);
  EXPECT_FALSE(find_hang(ranks, kStart + 2s, kLimits, kStart + 4s)) << "counted from then on";
}

TEST(Watchdog, ALongStepAndALongRestAreNoHang) {
  const std::array<RankProgress, 2> both{RankProgress{.tasks_left = 1, .last_end = kStart - 1h},
                                         RankProgress{.tasks_left = 1, .last_end = kStart - 1h}};
  EXPECT_FALSE(find_hang(both, kStart, kLimits, kStart + 60s));
}

// A90
TEST(Watchdog, AStepEndsWithItsLimit) {
  const std::array<RankProgress, 2> ranks{RankProgress{.tasks_left = 1},
                                          RankProgress{.tasks_left = 2}};
  const auto hang = find_hang(ranks, kStart, kLimits, kStart + 60001ms);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->rank, 1);
  EXPECT_FALSE(find_hang(ranks, kStart, {}, kStart + 1h)) << "no limits";
}

}  // namespace
}  // namespace ernie::engine
