#pragma once

#include <cstddef>
#include <cstdint>

namespace ernie {

// 128-bit hash (XXH3) for content that nobody attacks: else see content_key.h. Equal content gives
// equal hashes in every process and on every machine.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

Hash128 hash_bytes(const void* data, size_t bytes, uint64_t seed = 0);

}  // namespace ernie
