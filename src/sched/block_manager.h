#pragma once

#include <span>
#include <vector>

#include "base/content_key.h"
#include "sched/block_pool.h"
#include "sched/prefix_cache.h"

namespace ernie::sched {

// The pool and the prefix cache as one: hands out blocks, evicting idle cache entries when no block
// is free, and can take back everything done since a mark. A block's references are the tables
// that hold it, plus one when it is cached.
class BlockManager {
 public:
  explicit BlockManager(int num_blocks) : pool_(num_blocks), cache_(num_blocks) {}

  const BlockPool& pool() const { return pool_; }
  const PrefixCache& cache() const { return cache_; }

  // Blocks that allocate() can hand out.
  int available() const { return pool_.free_count() + cache_.idle_count(); }
  // True when only the cache holds the block.
  bool is_idle(BlockId block) const { return cache_.contains(block) && cache_.entry(block).idle; }
  // References from block tables.
  int users(BlockId block) const { return pool_.refs(block) - (cache_.contains(block) ? 1 : 0); }

  // The cached blocks of the longest known prefix of a chain of keys.
  std::vector<BlockId> match(std::span<const ContentKey> keys) const;

  BlockId allocate();
  void retain(BlockId block);
  void release(BlockId block);

  // Makes a full block findable and returns the block that now stands for its content: the one
  // given, or an older one with equal content, which the caller's table then holds instead.
  // `parent` is the published block before it, -1 for the first.
  BlockId publish(const ContentKey& key, BlockId parent, BlockId block);
  // Takes a block out of the cache if nothing but one table depends on it.
  void forget(BlockId block);

  // History since the last commit_history(): roll_back() undoes, newest first, down to a mark.
  // publish() and forget() are not part of history and may only follow commit_history().
  size_t mark() const { return history_.size(); }
  void roll_back(size_t mark);
  void commit_history() { history_.clear(); }

 private:
  enum class Change { kAllocated, kRetained, kReleased, kEvicted };
  struct Record {
    Change change;
    BlockId block;
    PrefixCache::Entry before;  // when the block was cached
  };
  void record(Change change, BlockId block);

  BlockPool pool_;
  PrefixCache cache_;
  std::vector<Record> history_;
  uint64_t clock_ = 0;  // counts releases; orders last uses
};

}  // namespace ernie::sched
