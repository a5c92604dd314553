#include "base/queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

namespace ernie {
namespace {

using namespace std::chrono_literals;

TEST(Queue, CloseRefusesNewItemsAndDrainsOldOnes) {
  Queue<int> queue;
  EXPECT_TRUE(queue.push(1));
  EXPECT_TRUE(queue.push(2));
  queue.close();
  EXPECT_FALSE(queue.push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(Queue, CloseWakesAWaitingReader) {
  Queue<int> queue;
  std::thread reader([&] { EXPECT_EQ(queue.pop(), std::nullopt); });
  queue.close();
  reader.join();
}

TEST(Queue, PopForGivesUp) {
  Queue<int> queue;
  EXPECT_EQ(queue.pop_for(1ms), std::nullopt);
  queue.push(5);
  EXPECT_EQ(queue.pop_for(1h), 5);
}

TEST(Queue, NothingIsLostBetweenManyThreads) {
  Queue<int> queue;
  constexpr int kEach = 1000;
  std::vector<std::thread> writers;
  for (int w = 0; w < 3; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kEach; ++i) queue.push(w * kEach + i);
    });
  }
  std::vector<int64_t> sums(2, 0);
  std::vector<std::thread> readers;
  for (int64_t& sum : sums) {
    readers.emplace_back([&] {
      while (auto item = queue.pop()) sum += *item;
    });
  }
  for (auto& writer : writers) writer.join();
  queue.close();
  for (auto& reader : readers) reader.join();
  constexpr int64_t kAll = 3 * kEach;
  EXPECT_EQ(sums[0] + sums[1], kAll * (kAll - 1) / 2);
}

}  // namespace
}  // namespace ernie
