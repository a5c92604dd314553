#include "serve/media_cache.h"

namespace ernie::serve {
namespace {

size_t bytes_of(const model::PreparedMedia& media) {
  constexpr size_t kEntryBytes = 256;
  constexpr size_t kUnitBytes = sizeof(ContentKey) + sizeof(model::PatchGrid);
  size_t bytes = kEntryBytes;
  for (const auto& unit : media.units) bytes += kUnitBytes + unit->pixels.size();
  return bytes;
}

}  // namespace

MediaCache::MediaCache(size_t max_bytes) : max_bytes_(max_bytes) {}

std::optional<model::PreparedMedia> MediaCache::find(const ContentKey& key) {
  std::lock_guard lock(mutex_);
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) return std::nullopt;
  entries_.splice(entries_.end(), entries_, known->second);
  return known->second->media;
}

void MediaCache::insert(const ContentKey& key, const model::PreparedMedia& media) {
  const size_t bytes = bytes_of(media);
  if (bytes > max_bytes_) return;
  std::list<Entry> dropped;  // freed without the lock
  std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;  // another thread was first
  while (bytes_ + bytes > max_bytes_) {
    bytes_ -= entries_.front().bytes;
    by_key_.erase(entries_.front().key);
    dropped.splice(dropped.end(), entries_, entries_.begin());
  }
  by_key_[key] = entries_.insert(entries_.end(), {key, media, bytes});
  bytes_ += bytes;
}

}  // namespace ernie::serve
