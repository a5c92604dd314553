#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ernie {

Hash128 hash_bytes(const void* data, size_t bytes, uint64_t seed) {
  const XXH128_hash_t h = XXH3_128bits_withSeed(data, bytes, seed);
  return {h.low64, h.high64};
}

Hash128 hash_chain(const Hash128& previous, const void* data, size_t bytes) {
  const Hash128 own = hash_bytes(data, bytes, previous.low);
  const uint64_t words[4] = {previous.low, previous.high, own.low, own.high};
  return hash_bytes(words, sizeof(words));
}

}  // namespace ernie
