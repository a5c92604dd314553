#include "tensor/slab_arena.h"

#include <algorithm>

namespace ernie {
namespace {

// What cudaMalloc rounds to.
constexpr size_t kGranule = size_t{2} << 20;
constexpr size_t kMaxSlabBytes = size_t{256} << 20;
// A slab is at most this part of what was taken before, so that one hardly used does not matter.
constexpr size_t kSlabShare = 64;

}  // namespace

size_t SlabArena::slab_bytes(size_t piece) const {
  const size_t wanted = std::min(kMaxSlabBytes, taken_ / kSlabShare);
  // The first number of pieces that leaves less than one part in a hundred unused.
  for (size_t pieces = std::max<size_t>(1, wanted / piece);; ++pieces) {
    const size_t needed = pieces * piece;
    const size_t bytes = (needed + kGranule - 1) / kGranule * kGranule;
    if ((bytes - needed) * 100 <= bytes) return bytes;
  }
}

std::shared_ptr<void> SlabArena::take(size_t bytes) {
  const size_t piece = piece_bytes(std::max<size_t>(bytes, 1));
  std::erase_if(open_,
                [](const Slab& s) { return s.bytes - s.used < kAlignment || s.memory.expired(); });
  auto at = std::find_if(open_.begin(), open_.end(),
                         [&](const Slab& s) { return s.bytes - s.used >= piece; });
  std::shared_ptr<Buffer> memory = at == open_.end() ? nullptr : at->memory.lock();
  if (memory == nullptr) {
    const size_t size = slab_bytes(piece);
    memory = std::make_shared<Buffer>(allocate_(size));
    at = open_.insert(open_.end(), {memory, 0, size});
  }
  void* data = static_cast<char*>(memory->data()) + at->used;
  at->used += piece;
  taken_ += piece;
  return {std::move(memory), data};
}

}  // namespace ernie
