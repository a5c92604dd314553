#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/content_key.h"
#include "sched/block_pool.h"

namespace ernie::sched {

// Which full block holds which content. A key is the hash chain over all content up to and with the
// block, so entries form a forest: an entry's parent holds the content just before it. The cache
// only keeps books; references are counted by BlockManager.
class PrefixCache {
 public:
  struct Entry {
    ContentKey key;
    BlockId parent = -1;    // -1: the block begins a prompt
    int32_t children = 0;   // entries whose parent this is
    uint64_t last_use = 0;  // when the last sequence let go of it
    bool idle = false;      // no sequence uses it
  };

  explicit PrefixCache(int num_blocks) : entries_(num_blocks) {}

  BlockId find(const ContentKey& key) const;  // -1 when absent
  bool contains(BlockId block) const { return entries_[block].has_value(); }
  const Entry& entry(BlockId block) const { return *entries_[block]; }

  // Adds an entry that a sequence uses; the parent must be in the cache.
  void insert(BlockId block, const ContentKey& key, BlockId parent);
  // Adds back what erase() returned.
  void restore(BlockId block, const Entry& entry);
  // Removes an entry without children.
  Entry erase(BlockId block);
  void set_idle(BlockId block, bool idle, uint64_t last_use);

  int idle_count() const { return idle_count_; }
  // The entry to evict: idle, without children, longest unused. There is one when idle_count() > 0,
  // because whoever uses a block uses its parents.
  BlockId oldest_idle_leaf() const;

 private:
  // Keeps evictable_ in step with the entry after a change.
  void link(BlockId block);
  void unlink(BlockId block);

  std::vector<std::optional<Entry>> entries_;  // by block
  std::unordered_map<ContentKey, BlockId> by_key_;
  std::set<std::pair<uint64_t, BlockId>> evictable_;  // (last use, block) of idle leaves
  int idle_count_ = 0;
};

}  // namespace ernie::sched
