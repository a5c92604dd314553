#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace ernie {

// 128-bit content hash (XXH3). Equal content gives equal hashes in every process and on every
// machine.
struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

Hash128 hash_bytes(const void* data, size_t bytes, uint64_t seed = 0);

// Continues a chain: hash of (previous, data).
Hash128 hash_chain(const Hash128& previous, const void* data, size_t bytes);

}  // namespace ernie

template <>
struct std::hash<ernie::Hash128> {
  size_t operator()(const ernie::Hash128& h) const noexcept { return h.low; }
};
