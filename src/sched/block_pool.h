#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ernie::sched {

// Index of a page of the key-value cache.
using BlockId = int32_t;

// Reference counts of all pages and a stack of the free ones. Every operation is O(1).
class BlockPool {
 public:
  explicit BlockPool(int num_blocks);

  int size() const { return static_cast<int>(refs_.size()); }
  int free_count() const { return static_cast<int>(free_.size()); }
  int refs(BlockId block) const { return refs_[block]; }
  std::span<const BlockId> free_blocks() const { return free_; }

  BlockId allocate();          // one reference; the pool must not be empty
  void retain(BlockId block);  // one more reference to a block in use
  int release(BlockId block);  // returns the references left; at 0 the block is free again, and
                               // the next one to be handed out
 private:
  std::vector<int32_t> refs_;
  std::vector<BlockId> free_;
};

}  // namespace ernie::sched
