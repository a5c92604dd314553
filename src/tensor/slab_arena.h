#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace ernie {

// Cuts pieces that live long, such as weights, out of large allocations ("slabs"), for devices that
// round each allocation up to megabytes. A slab is sized for a whole number of pieces like the one
// that opened it; pieces of other sizes fill its rest. What the slabs take together exceeds what
// was asked for by some 2 % at most once there are gigabytes of it. One thread at a time, but
// pieces may be freed by any.
class SlabArena {
 public:
  using Allocate = std::function<Buffer(size_t)>;
  // `allocate` gives memory at addresses divisible by kAlignment.
  explicit SlabArena(Allocate allocate) : allocate_(std::move(allocate)) {}

  // At least `bytes`, aligned to kAlignment. A slab is freed with the last of its pieces, so pieces
  // may outlive the arena. The room of a freed piece is not used again. Throws what `allocate`
  // throws.
  std::shared_ptr<void> take(size_t bytes);

  static constexpr size_t kAlignment = 256;
  // What a piece takes of its slab.
  static size_t piece_bytes(size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  struct Slab {
    std::weak_ptr<Buffer> memory;
    size_t used = 0;
    size_t bytes = 0;
  };
  size_t slab_bytes(size_t piece) const;

  Allocate allocate_;
  std::vector<Slab> open_;  // with room left, oldest first
  size_t taken_ = 0;        // by all pieces so far
};

}  // namespace ernie
