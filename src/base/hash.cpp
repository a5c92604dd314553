#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ernie {

Hash128 hash_bytes(const void* data, size_t bytes, uint64_t seed) {
  const XXH128_hash_t h = XXH3_128bits_withSeed(data, bytes, seed);
  return {h.low64, h.high64};
}

}  // namespace ernie
