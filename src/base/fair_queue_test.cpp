#include "base/fair_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace ernie {
namespace {

TEST(FairQueue, ClientsTakeTurnsAndEachKeepsItsOrder) {
  FairQueue<int> queue;
  for (int i = 10; i < 15; ++i) queue.push(1, i);
  queue.push(2, 20);
  queue.push(2, 21);
  queue.push(3, 30);
  std::vector<int> order;
  order.reserve(8);
  for (int i = 0; i < 8; ++i) order.push_back(queue.pop()->value);
  EXPECT_EQ(order, (std::vector{10, 20, 30, 11, 21, 12, 13, 14}));
}

TEST(FairQueue, OfOneClientAFewItemsAreOutAtOnce) {
  FairQueue<int> queue(2);
  for (int i = 10; i < 14; ++i) queue.push(1, i);
  queue.push(2, 20);
  std::vector<int> order;
  order.reserve(3);
  for (int i = 0; i < 3; ++i) order.push_back(queue.pop()->value);
  EXPECT_EQ(order, (std::vector{10, 20, 11}));
  queue.push(3, 30);
  EXPECT_EQ(queue.pop()->value, 30);
  queue.done(1);
  EXPECT_EQ(queue.pop()->value, 12);
  queue.close();
  std::thread reader([&] {
    EXPECT_EQ(queue.pop()->value, 13);
    EXPECT_FALSE(queue.pop());
  });
  queue.done(1);
  reader.join();
}

TEST(FairQueue, ManyReadersLoseNothingAndKeepTheBound) {
  constexpr int kClients = 3;
  constexpr int kItems = 2'000;
  FairQueue<int> queue(1);
  std::array<std::atomic<int>, kClients> out{};
  std::array<int, kClients> next{};  // each client's are in order, since one is out at once
  std::atomic<int> popped = 0;
  std::vector<std::thread> readers;
  readers.reserve(4);
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (auto item = queue.pop()) {
        EXPECT_EQ(out[item->client]++, 0);
        EXPECT_EQ(item->value, next[item->client]++);
        ++popped;
        --out[item->client];
        queue.done(item->client);
      }
    });
  }
  for (int i = 0; i < kItems; ++i) {
    for (int client = 0; client < kClients; ++client) queue.push(client, i);
  }
  queue.close();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(popped, kClients * kItems);
}

TEST(FairQueue, CloseRefusesNewItemsAndDrainsOldOnes) {
  FairQueue<int> queue;
  EXPECT_TRUE(queue.push(1, 1));
  EXPECT_TRUE(queue.push(2, 2));
  queue.close();
  EXPECT_FALSE(queue.push(1, 3));
  EXPECT_EQ(queue.pop()->value, 1);
  EXPECT_EQ(queue.pop()->value, 2);
  EXPECT_FALSE(queue.pop());
}

TEST(FairQueue, CloseWakesAWaitingReader) {
  FairQueue<int> queue;
  std::thread reader([&] { EXPECT_FALSE(queue.pop()); });
  queue.close();
  reader.join();
}

}  // namespace
}  // namespace ernie
