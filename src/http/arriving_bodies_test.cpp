#include "http/arriving_bodies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace ernie::http {
namespace {

using namespace std::chrono_literals;

struct Bodies {
  explicit Bodies(size_t room)
      : memory(std::make_shared<Limiter>(room)), arriving(ArrivingBodies::create(memory)) {}

  std::unique_ptr<ArrivingBodies::Body> begin(const std::string& peer) {
    return arriving->begin(peer, [this] { ++woken; });
  }

  std::shared_ptr<Limiter> memory;
  std::shared_ptr<ArrivingBodies> arriving;
  std::atomic<int> woken = 0;
};

TEST(ArrivingBodies, OfTheClientThatHoldsMostTheSlowestGoes) {
  Bodies bodies(100);
  const auto small = bodies.begin("a"), slow = bodies.begin("b"), fast = bodies.begin("b");
  ASSERT_TRUE(small->grow(40, false));
  ASSERT_TRUE(slow->grow(25, false));
  std::this_thread::sleep_for(20ms);
  ASSERT_TRUE(fast->grow(30, false));
  EXPECT_TRUE(bodies.memory->acquire(20));
  EXPECT_TRUE(slow->evicted());
  EXPECT_FALSE(slow->grow(1, true)) << "it came too late";
  EXPECT_EQ(bodies.woken, 1);
  EXPECT_TRUE(bodies.memory->acquire(60));
  EXPECT_TRUE(small->evicted());
  EXPECT_FALSE(fast->evicted());
  EXPECT_FALSE(bodies.memory->acquire(101)) << "what can never fit evicts nobody";
  EXPECT_FALSE(fast->evicted());
}

TEST(ArrivingBodies, WholeOnesStay) {
  Bodies bodies(100);
  const auto whole = bodies.begin("a"), begun = bodies.begin("a");
  ASSERT_TRUE(begun->grow(50, false));
  ASSERT_TRUE(whole->grow(90, true));
  EXPECT_TRUE(begun->evicted());
  EXPECT_FALSE(bodies.memory->acquire(20));
  EXPECT_EQ(whole->take().amount(), 90u);
  EXPECT_EQ(bodies.memory->used(), 0u);
}

// Else a flood of large requests would let none of them arrive.
TEST(ArrivingBodies, OnesThatComeAsFastDoNotDriveEachOtherOut) {
  Bodies bodies(100);
  std::vector<std::unique_ptr<ArrivingBodies::Body>> first;
  for (int i = 0; i < 4; ++i) {
    first.push_back(bodies.begin("a"));
    ASSERT_TRUE(first.back()->grow(20, false));
  }
  EXPECT_FALSE(bodies.begin("b")->grow(30, false));
  for (const auto& body : first) EXPECT_TRUE(body->grow(5, true));
}

TEST(ArrivingBodies, TheLargestHolderPaysWhateverCameBefore) {
  constexpr size_t kPeers = 20;
  Bodies bodies(10'000);
  std::mt19937 random(7);
  struct Own {
    std::unique_ptr<ArrivingBodies::Body> body;
    size_t peer = 0, bytes = 0;
  };
  std::vector<Own> own;
  const auto held = [&](size_t peer) {
    size_t bytes = 0;
    for (const Own& o : own) bytes += o.peer == peer && !o.body->evicted() ? o.bytes : 0;
    return bytes;
  };
  for (int step = 0; step < 500; ++step) {
    const size_t peer = random() % kPeers, bytes = 1 + random() % 200;
    if (bodies.memory->limit() - bodies.memory->used() < bytes) {
      size_t most = 0;
      for (size_t p = 0; p < kPeers; ++p) most = std::max(most, held(p));
      std::vector<size_t> before(kPeers);
      for (size_t p = 0; p < kPeers; ++p) before[p] = held(p);
      const size_t room = bodies.memory->limit() - bodies.memory->used();
      ASSERT_TRUE(bodies.memory->acquire(room + 1)) << "given back at once";
      size_t paid = 0;
      for (size_t p = 0; p < kPeers; ++p) paid += before[p] == held(p) ? 0 : before[p];
      EXPECT_EQ(paid, most) << step;
    }
    if (own.empty() || random() % 3 == 0) own.push_back({bodies.begin(std::to_string(peer)), peer});
    Own& any = own[random() % own.size()];
    if (any.body->grow(bytes, false)) any.bytes += bytes;
    if (random() % 10 == 0)
      own.erase(own.begin() + static_cast<std::ptrdiff_t>(random() % own.size()));
  }
  own.clear();
  EXPECT_EQ(bodies.memory->used(), 0u);
}

TEST(ArrivingBodies, NothingIsLostBetweenManyThreads) {
  Bodies bodies(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const auto body = bodies.begin(std::to_string(t));
        if (body->grow(200, false) && body->grow(200, false) && body->grow(1, i % 2 == 0))
          (void)body->take();
        (void)bodies.memory->acquire(300);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bodies.memory->used(), 0u);
}

}  // namespace
}  // namespace ernie::http
