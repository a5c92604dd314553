#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/content_key.h"
#include "model/processor.h"

namespace ernie::serve {

// Pictures and videos after decoding and resizing, with or without their pixels, by the key of
// their encoded bytes, so that one that comes again is neither decoded nor resized. For one
// processor. Thread-safe.
class MediaCache {
 public:
  explicit MediaCache(size_t max_bytes);

  std::optional<model::PreparedMedia> find(const ContentKey& key);
  // Drops the longest unused to make room; does not keep what is larger than the cache.
  void insert(const ContentKey& key, const model::PreparedMedia& media);

 private:
  struct Entry {
    ContentKey key;
    model::PreparedMedia media;
    size_t bytes = 0;
  };

  const size_t max_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // longest unused first
  std::unordered_map<ContentKey, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
};

}  // namespace ernie::serve
