#include "sched/prefix_cache.h"

#include "base/check.h"

namespace ernie::sched {

BlockId PrefixCache::find(const ContentKey& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? -1 : it->second;
}

void PrefixCache::insert(BlockId block, const ContentKey& key, BlockId parent) {
  restore(block, Entry{.key = key, .parent = parent});
}

void PrefixCache::restore(BlockId block, const Entry& entry) {
  CHECK(!contains(block), "block " + std::to_string(block) + " is cached already");
  CHECK(by_key_.emplace(entry.key, block).second, "two blocks for one key");
  if (entry.parent >= 0) {
    CHECK(contains(entry.parent), "the parent of a cached block is not cached");
    unlink(entry.parent);
    ++entries_[entry.parent]->children;
    link(entry.parent);
  }
  entries_[block] = entry;
  link(block);
}

PrefixCache::Entry PrefixCache::erase(BlockId block) {
  CHECK(contains(block) && entry(block).children == 0, "only leaves leave the cache");
  unlink(block);
  const Entry gone = *entries_[block];
  entries_[block].reset();
  by_key_.erase(gone.key);
  if (gone.parent >= 0) {
    unlink(gone.parent);
    --entries_[gone.parent]->children;
    link(gone.parent);
  }
  return gone;
}

void PrefixCache::set_idle(BlockId block, bool idle, uint64_t last_use) {
  unlink(block);
  entries_[block]->idle = idle;
  entries_[block]->last_use = last_use;
  link(block);
}

BlockId PrefixCache::oldest_idle_leaf() const {
  CHECK(!evictable_.empty(), "nothing to evict");
  return evictable_.begin()->second;
}

void PrefixCache::link(BlockId block) {
  const Entry& e = *entries_[block];
  if (!e.idle) return;
  ++idle_count_;
  if (e.children == 0) evictable_.emplace(e.last_use, block);
}

void PrefixCache::unlink(BlockId block) {
  const Entry& e = *entries_[block];
  if (!e.idle) return;
  --idle_count_;
  if (e.children == 0) evictable_.erase({e.last_use, block});
}

}  // namespace ernie::sched
