#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>

#include "base/hash.h"
#include "model/processor.h"

namespace ernie::serve {

// Pictures after decoding and resizing, by their encoded bytes, so that one that comes again is
// neither decoded nor resized. For one processor. Thread-safe.
class MediaCache {
 public:
  explicit MediaCache(size_t max_bytes);  // of the patches it keeps

  // Hashes are seeded for each cache, so that nobody can prepare two files with the same one.
  Hash128 key_of(std::span<const uint8_t> encoded) const;

  std::optional<model::PreparedMedia> find(const Hash128& key);
  // Drops the longest unused to make room; does not keep what is larger than the cache.
  void insert(const Hash128& key, const model::PreparedMedia& media);

 private:
  struct Entry {
    Hash128 key;
    model::PreparedMedia media;
    size_t bytes = 0;
  };

  const size_t max_bytes_;
  const uint64_t seed_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // longest unused first
  std::unordered_map<Hash128, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
};

}  // namespace ernie::serve
