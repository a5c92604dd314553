#include "sched/block_manager.h"

#include <gtest/gtest.h>

#include <random>

namespace ernie::sched {
namespace {

ContentKey key(uint64_t n) { return {n, ~n}; }

// Everything that can be seen of a manager, to compare states.
struct State {
  std::vector<int> refs;
  std::vector<BlockId> free_blocks;
  std::vector<std::tuple<BlockId, uint64_t, BlockId, int, uint64_t, bool>> cache;
  int available;
  friend bool operator==(const State&, const State&) = default;
};

State state_of(const BlockManager& m) {
  State s;
  for (BlockId b = 0; b < m.pool().size(); ++b) {
    s.refs.push_back(m.pool().refs(b));
    if (!m.cache().contains(b)) continue;
    const auto& e = m.cache().entry(b);
    s.cache.emplace_back(b, e.key.words[0], e.parent, e.children, e.last_use, e.idle);
  }
  s.free_blocks.assign(m.pool().free_blocks().begin(), m.pool().free_blocks().end());
  s.available = m.available();
  return s;
}

// A chain of `n` published blocks with keys first, first + 1, ...
std::vector<BlockId> publish_chain(BlockManager& m, uint64_t first, int n) {
  std::vector<BlockId> table;
  for (int i = 0; i < n; ++i) {
    const BlockId block = m.allocate();
    m.commit_history();
    table.push_back(m.publish(key(first + i), i == 0 ? -1 : table.back(), block));
  }
  return table;
}

void release_all(BlockManager& m, const std::vector<BlockId>& table) {
  for (size_t i = table.size(); i-- > 0;) m.release(table[i]);
  m.commit_history();
}

TEST(BlockPool, HandsOutEachBlockOnceAndTakesItBack) {
  BlockPool pool(3);
  const BlockId a = pool.allocate(), b = pool.allocate(), c = pool.allocate();
  EXPECT_EQ(a + b + c, 3);
  EXPECT_EQ(pool.free_count(), 0);
  pool.retain(b);
  EXPECT_EQ(pool.release(b), 1);
  EXPECT_EQ(pool.free_count(), 0);
  EXPECT_EQ(pool.release(b), 0);
  EXPECT_EQ(pool.allocate(), b);
}

TEST(BlockPoolDeathTest, AbortsOnDoubleRelease) {
  BlockPool pool(1);
  pool.release(pool.allocate());
  EXPECT_DEATH(pool.release(0), "released twice");
}

TEST(BlockManager, CachedBlocksStayFindableAfterTheirUserIsGone) {
  BlockManager m(4);
  const auto table = publish_chain(m, 10, 3);
  release_all(m, table);
  EXPECT_EQ(m.available(), 4);
  EXPECT_EQ(m.pool().free_count(), 1);
  const std::vector<ContentKey> keys = {key(10), key(11), key(99), key(12)};
  EXPECT_EQ(m.match(keys), (std::vector<BlockId>{table[0], table[1]}));
}

TEST(BlockManager, EvictsTheLeafThatWasUnusedLongest) {
  BlockManager m(4);
  const auto old_chain = publish_chain(m, 10, 2);
  const auto young_chain = publish_chain(m, 20, 2);
  release_all(m, old_chain);
  release_all(m, young_chain);
  EXPECT_EQ(m.allocate(), old_chain[1]);  // the leaf first
  EXPECT_EQ(m.allocate(), old_chain[0]);  // then its parent, now a leaf
  EXPECT_EQ(m.allocate(), young_chain[1]);
  EXPECT_EQ(m.available(), 1);
}

TEST(BlockManager, NeverEvictsWhatATableUses) {
  BlockManager m(3);
  const auto table = publish_chain(m, 10, 2);
  EXPECT_EQ(m.available(), 1);
  m.allocate();
  EXPECT_EQ(m.available(), 0);
  EXPECT_EQ(m.cache().find(key(11)), table[1]);
}

TEST(BlockManager, EqualContentIsKeptOnce) {
  BlockManager m(4);
  const auto first = publish_chain(m, 10, 2);
  const auto second = publish_chain(m, 10, 2);
  EXPECT_EQ(first, second);
  EXPECT_EQ(m.pool().free_count(), 2);
  EXPECT_EQ(m.users(first[0]), 2);
}

TEST(BlockManager, ForgetsOnlyWhatNobodyElseDependsOn) {
  BlockManager m(4);
  const auto table = publish_chain(m, 10, 3);
  m.retain(table[0]);  // a second table shares the first block
  m.commit_history();
  for (size_t i = table.size(); i-- > 0;) m.forget(table[i]);
  EXPECT_TRUE(m.cache().contains(table[0]));
  EXPECT_FALSE(m.cache().contains(table[1]));
  EXPECT_FALSE(m.cache().contains(table[2]));
  release_all(m, table);
  EXPECT_EQ(m.pool().free_count(), 3);
}

TEST(BlockManager, RollBackRestoresEverythingExactly) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    BlockManager m(10);
    std::vector<std::vector<BlockId>> tables;
    for (uint64_t i = 0; i < 3; ++i) tables.push_back(publish_chain(m, 100 * i, 1 + random() % 3));
    release_all(m, tables.back());
    tables.pop_back();
    const State before = state_of(m);
    const size_t mark = m.mark();
    for (int change = 0; change < 12; ++change) {
      if (random() % 2 && !tables.empty() && !tables.back().empty()) {
        m.release(tables.back().back());
        tables.back().pop_back();
      } else if (m.available() > 0) {
        tables.push_back({m.allocate()});
        if (random() % 2) {
          m.retain(tables.back()[0]);
          tables.push_back({tables.back()[0]});
        }
      }
      if (!tables.empty() && tables.back().empty()) tables.pop_back();
    }
    m.roll_back(mark);
    EXPECT_EQ(state_of(m), before);
  }
}

}  // namespace
}  // namespace ernie::sched
