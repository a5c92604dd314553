#include "base/fair_limiter.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace ernie {
namespace {

using Room = FairLimiter::Room;

TEST(FairLimiter, OneClientMayTakeAllAndOthersStillGetEqualShares) {
  const auto limiter = std::make_shared<FairLimiter>(12, 0);
  std::vector<FairLimiter::Share> shares;
  const auto take_all = [&](ClientId client) {
    size_t taken = 0;
    for (; auto share = limiter->acquire(client); ++taken) shares.push_back(std::move(*share));
    return taken;
  };
  EXPECT_EQ(take_all(1), 12u);
  EXPECT_EQ(take_all(2), 6u);
  EXPECT_EQ(take_all(3), 4u);
  EXPECT_EQ(take_all(1), 0u);
  EXPECT_EQ(limiter->room(1), Room::kFull);
  EXPECT_EQ(limiter->used(), 22u);
  shares.clear();
  EXPECT_EQ(limiter->used(), 0u);
  EXPECT_EQ(take_all(2), 12u);
}

TEST(FairLimiter, EachClientHasALimitOfItsOwn) {
  const auto limiter = std::make_shared<FairLimiter>(0, 3);
  auto two = limiter->acquire(1, 2);
  ASSERT_TRUE(two);
  EXPECT_FALSE(limiter->acquire(1, 2));
  EXPECT_EQ(limiter->room(1, 2), Room::kClientFull);
  EXPECT_EQ(limiter->room(2, 4), Room::kClientFull);
  EXPECT_TRUE(limiter->acquire(2, 3));
  auto one = two->split(1);
  two.reset();
  EXPECT_EQ(limiter->used_by(1), 1u);
  one = {};
  EXPECT_EQ(limiter->used_by(1), 0u);
}

TEST(FairLimiter, BooksAreRightAfterAnyMix) {
  std::mt19937_64 random(1);
  const auto limiter = std::make_shared<FairLimiter>(100, 60);
  struct Held {
    ClientId client;
    size_t amount;
    FairLimiter::Share share;
  };
  std::vector<Held> held;
  for (int i = 0; i < 20'000; ++i) {
    const ClientId client = random() % 10;
    const size_t amount = 1 + random() % 20;
    std::map<ClientId, size_t> of;
    size_t total = 0;
    for (const Held& h : held) {
      of[h.client] += h.amount;
      total += h.amount;
    }
    ASSERT_EQ(limiter->used(), total);
    ASSERT_EQ(limiter->used_by(client), of[client]);
    if (auto share = limiter->acquire(client, amount)) {
      ASSERT_LE(of[client] + amount, 60u);
      held.push_back({client, amount, std::move(*share)});
    } else {
      ASSERT_TRUE(of[client] + amount > 60 || total + amount > 100);
    }
    while (!held.empty() && random() % 2) {
      std::swap(held[random() % held.size()], held.back());
      held.pop_back();
    }
  }
}

}  // namespace
}  // namespace ernie
