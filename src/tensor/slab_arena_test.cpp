#include "tensor/slab_arena.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <set>

namespace ernie {
namespace {

size_t live_slabs = 0;

Buffer allocate(size_t bytes) {
  ++live_slabs;
  return Buffer(std::aligned_alloc(SlabArena::kAlignment, bytes), bytes, [](void* p) {
    --live_slabs;
    std::free(p);
  });
}

TEST(SlabArena, PiecesAreAlignedAndDoNotOverlap) {
  SlabArena arena(allocate);
  std::vector<std::shared_ptr<void>> pieces;
  const size_t sizes[] = {1, 256, 257, 5000, 70000, 3 << 20, 0};
  std::set<std::pair<uintptr_t, uintptr_t>> spans;
  for (int i = 0; i < 40; ++i) {
    for (const size_t bytes : sizes) {
      const auto begin = reinterpret_cast<uintptr_t>(pieces.emplace_back(arena.take(bytes)).get());
      EXPECT_EQ(begin % SlabArena::kAlignment, 0u);
      spans.insert({begin, begin + bytes});
      std::memset(pieces.back().get(), i, bytes);
    }
  }
  uintptr_t end = 0;
  for (const auto& [first, last] : spans) {
    EXPECT_GE(first, end);
    end = last;
  }
  EXPECT_LT(live_slabs, pieces.size() / 4);
}

TEST(SlabArena, MemoryComesBackWithTheLastPiece) {
  auto arena = std::make_unique<SlabArena>(allocate);
  for (int round = 0; round < 3; ++round) {
    auto first = arena->take(1000);
    auto second = arena->take(1000);
    EXPECT_EQ(live_slabs, 1u);
    first.reset();
    EXPECT_EQ(live_slabs, 1u);
    second.reset();
    EXPECT_EQ(live_slabs, 0u);
  }
  const auto outlives = arena->take(1000);
  arena.reset();
  std::memset(outlives.get(), 1, 1000);
  EXPECT_EQ(live_slabs, 1u);
}

TEST(SlabArena, AFailedAllocationLeavesItUsable) {
  bool full = true;
  SlabArena arena([&](size_t bytes) {
    if (full) throw std::bad_alloc();
    return allocate(bytes);
  });
  EXPECT_THROW(arena.take(1000), std::bad_alloc);
  full = false;
  EXPECT_NE(arena.take(1000), nullptr);
}

}  // namespace
}  // namespace ernie
