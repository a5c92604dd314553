#include "engine/encoder_cache.h"

#include <algorithm>
#include <iterator>

namespace ernie::engine {

EncoderCache::EncoderCache(int32_t rows) : rows_(rows) {
  if (rows > 0) gaps_[0] = rows;
}

bool EncoderCache::has(const model::MediaUnit& unit) const {
  const auto known = by_hash_.find(unit.hash);
  return known != by_hash_.end() && known->second->length == unit.length;
}

void EncoderCache::place(std::span<model::ModelInput::Media> media) {
  std::stable_partition(media.begin(), media.end(), [&](const auto& m) { return has(*m.unit); });
  for (model::ModelInput::Media& m : media) place(m);
}

void EncoderCache::place(model::ModelInput::Media& media) {
  const ContentKey& hash = media.unit->hash;
  const int32_t length = media.unit->length;
  ++queries_;
  if (const auto known = by_hash_.find(hash); known != by_hash_.end()) {
    const auto entry = known->second;
    if (entry->length != length) return;  // two contents with one hash
    entries_.splice(entries_.end(), entries_, entry);
    media.cache_row = entry->row;
    media.encoded = true;
    ++hits_;
    return;
  }
  if (length > rows_) return;
  media.cache_row = take_rows(length);
  by_hash_[hash] = entries_.insert(entries_.end(), {hash, media.cache_row, length});
}

// `length` is at most rows_, so that evicting everything is enough.
int32_t EncoderCache::take_rows(int32_t length) {
  auto gap = std::ranges::find_if(gaps_, [&](const auto& g) { return g.second >= length; });
  while (gap == gaps_.end() || gap->second < length) gap = evict_oldest();
  const auto [row, free] = *gap;
  gaps_.erase(gap);
  if (free > length) gaps_[row + length] = free - length;
  return row;
}

// The gap that the entry leaves, joined with its neighbours.
EncoderCache::Gaps::iterator EncoderCache::evict_oldest() {
  const Entry entry = entries_.front();
  entries_.pop_front();
  by_hash_.erase(entry.hash);
  auto gap = gaps_.emplace(entry.row, entry.length).first;
  if (const auto next = std::next(gap);
      next != gaps_.end() && next->first == entry.row + entry.length) {
    gap->second += next->second;
    gaps_.erase(next);
  }
  if (gap == gaps_.begin()) return gap;
  const auto before = std::prev(gap);
  if (before->first + before->second != gap->first) return gap;
  before->second += gap->second;
  gaps_.erase(gap);
  return before;
}

}  // namespace ernie::engine
