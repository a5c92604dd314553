#include "sched/client_turns.h"

#include <gtest/gtest.h>

namespace ernie::sched {
namespace {

TEST(ClientTurns, WhoComesIsLevelWithTheOneThatGotLeast) {
  ClientTurns turns;
  turns.join(1);
  turns.charge(1, 50);
  turns.join(2);
  EXPECT_EQ(turns.tokens(2), 50);
  turns.charge(2, 10);
  turns.join(3);
  EXPECT_EQ(turns.tokens(3), 50);
  turns.join(3);
  turns.leave(3);
  EXPECT_EQ(turns.tokens(3), 50) << "another sequence is there";
}

TEST(ClientTurns, WhoGotMoreCannotLoseThatByLeaving) {
  ClientTurns turns;
  turns.join(1);
  turns.join(2);
  turns.charge(2, 100);
  turns.leave(2);
  turns.join(2);
  EXPECT_EQ(turns.tokens(2), 100);
  turns.leave(1);
  turns.leave(2);
  turns.join(2);
  EXPECT_EQ(turns.tokens(2), 0) << "nobody was left to be ahead of";
}

// Else addresses without number would take memory without bound.
TEST(ClientTurns, FewThatAreAwayAreRemembered) {
  ClientTurns turns;
  turns.join(0);
  for (ClientId client = 1; client <= 2000; ++client) {
    turns.join(client);
    turns.charge(client, 10);
    turns.leave(client);
  }
  turns.join(1);
  EXPECT_EQ(turns.tokens(1), 0);
}

}  // namespace
}  // namespace ernie::sched
