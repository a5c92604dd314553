#include "base/limiter.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <vector>

namespace ernie {
namespace {

using std::chrono::milliseconds;

// A62
TEST(Limiter, SharesNeverPassTheLimitAndAreGivenBack) {
  const auto limiter = std::make_shared<Limiter>(10);
  {
    auto share = limiter->acquire(6);
    ASSERT_TRUE(share);
    EXPECT_FALSE(limiter->acquire(5));
    EXPECT_TRUE(share->grow(4));
    EXPECT_FALSE(share->grow(1));
    share->shrink_to(3);
    EXPECT_EQ(limiter->used(), 3u);
    share->shrink_to(5);
    EXPECT_EQ(share->amount(), 3u) << "shrinking never grows";
  }
  EXPECT_EQ(limiter->used(), 0u);
  EXPECT_FALSE(limiter->acquire(11));
}

// A62
TEST(Limiter, WhoWaitsGetsTheRoomInOrderOfArrival) {
  const auto limiter = std::make_shared<Limiter>(10);
  const std::atomic<bool> never = false;
  auto all = limiter->acquire(10);  // no two of those who wait fit together
  std::mutex mutex;
  std::vector<size_t> order;
  std::vector<std::thread> threads;
  for (const size_t amount : {10u, 6u, 5u}) {
    threads.emplace_back([&, amount] {
      const auto share = limiter->wait(amount, never);
      std::lock_guard lock(mutex);
      order.push_back(amount);
    });
    std::this_thread::sleep_for(milliseconds(20));
  }
  {
    std::lock_guard lock(mutex);
    EXPECT_TRUE(order.empty());
  }
  all.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(order, (std::vector<size_t>{10, 6, 5}));
  EXPECT_EQ(limiter->used(), 0u);
}

// A62
TEST(Limiter, WaitingCanBeGivenUp) {
  const auto limiter = std::make_shared<Limiter>(10);
  const auto all = limiter->acquire(10);
  std::atomic<bool> stop = false;
  auto waiting = std::async(std::launch::async, [&] { return limiter->wait(1, stop).has_value(); });
  EXPECT_EQ(waiting.wait_for(milliseconds(50)), std::future_status::timeout);
  stop = true;
  EXPECT_FALSE(waiting.get());
}

}  // namespace
}  // namespace ernie
