#include "sched/block_manager.h"

#include "base/check.h"

namespace ernie::sched {

std::vector<BlockId> BlockManager::match(std::span<const ContentKey> keys) const {
  std::vector<BlockId> blocks;
  for (const ContentKey& key : keys) {
    const BlockId block = cache_.find(key);
    if (block < 0) break;
    blocks.push_back(block);
  }
  return blocks;
}

void BlockManager::record(Change change, BlockId block) {
  Record r{change, block, {}};
  if (cache_.contains(block)) r.before = cache_.entry(block);
  history_.push_back(r);
}

BlockId BlockManager::allocate() {
  if (pool_.free_count() == 0) {
    const BlockId victim = cache_.oldest_idle_leaf();
    record(Change::kEvicted, victim);
    cache_.erase(victim);
    pool_.release(victim);
  }
  const BlockId block = pool_.allocate();
  record(Change::kAllocated, block);
  return block;
}

void BlockManager::retain(BlockId block) {
  record(Change::kRetained, block);
  pool_.retain(block);
  if (is_idle(block)) cache_.set_idle(block, false, cache_.entry(block).last_use);
}

void BlockManager::release(BlockId block) {
  record(Change::kReleased, block);
  pool_.release(block);
  if (cache_.contains(block) && users(block) == 0) cache_.set_idle(block, true, ++clock_);
}

BlockId BlockManager::publish(const ContentKey& key, BlockId parent, BlockId block) {
  CHECK(history_.empty(), "publish() inside an open transaction");
  const BlockId known = cache_.find(key);
  if (known < 0) {
    cache_.insert(block, key, parent);
    pool_.retain(block);
    return block;
  }
  retain(known);
  release(block);
  commit_history();
  return known;
}

void BlockManager::forget(BlockId block) {
  CHECK(history_.empty(), "forget() inside an open transaction");
  if (!cache_.contains(block) || cache_.entry(block).children > 0 || users(block) > 1) return;
  cache_.erase(block);
  pool_.release(block);
}

void BlockManager::roll_back(size_t mark) {
  for (; history_.size() > mark; history_.pop_back()) {
    const auto& [change, block, before] = history_.back();
    switch (change) {
      case Change::kAllocated:
        pool_.release(block);
        break;
      case Change::kRetained:
        pool_.release(block);
        if (cache_.contains(block)) cache_.set_idle(block, before.idle, before.last_use);
        break;
      case Change::kReleased:
        if (pool_.refs(block) > 0) {
          pool_.retain(block);
        } else {
          CHECK(pool_.allocate() == block, "history out of order");
        }
        if (cache_.contains(block)) cache_.set_idle(block, before.idle, before.last_use);
        break;
      case Change::kEvicted:
        CHECK(pool_.allocate() == block, "history out of order");
        cache_.restore(block, before);
        break;
    }
  }
}

}  // namespace ernie::sched
