#include "base/fair_queue.h"

#include <gtest/gtest.h>

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
  for (int i = 0; i < 8; ++i) order.push_back(*queue.pop());
  EXPECT_EQ(order, (std::vector{10, 20, 30, 11, 21, 12, 13, 14}));
}

TEST(FairQueue, CloseRefusesNewItemsAndDrainsOldOnes) {
  FairQueue<int> queue;
  EXPECT_TRUE(queue.push(1, 1));
  EXPECT_TRUE(queue.push(2, 2));
  queue.close();
  EXPECT_FALSE(queue.push(1, 3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(FairQueue, CloseWakesAWaitingReader) {
  FairQueue<int> queue;
  std::thread reader([&] { EXPECT_EQ(queue.pop(), std::nullopt); });
  queue.close();
  reader.join();
}

}  // namespace
}  // namespace ernie
