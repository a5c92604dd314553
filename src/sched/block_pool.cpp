#include "sched/block_pool.h"

#include "base/check.h"

namespace ernie::sched {

BlockPool::BlockPool(int num_blocks) : refs_(num_blocks, 0) {
  free_.reserve(num_blocks);
  for (int block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

BlockId BlockPool::allocate() {
  CHECK(!free_.empty(), "no free block");
  const BlockId block = free_.back();
  free_.pop_back();
  refs_[block] = 1;
  return block;
}

void BlockPool::retain(BlockId block) {
  CHECK(refs_[block] > 0, "block " + std::to_string(block) + " is free");
  ++refs_[block];
}

int BlockPool::release(BlockId block) {
  CHECK(refs_[block] > 0, "block " + std::to_string(block) + " is released twice");
  if (--refs_[block] == 0) free_.push_back(block);
  return refs_[block];
}

}  // namespace ernie::sched
