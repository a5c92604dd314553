#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <unordered_map>

#include "base/content_key.h"
#include "model/model.h"

namespace ernie::engine {

// Which rows of the ranks' encoder cache hold the features of which media unit. Only keeps books:
// what it says for a step has to be said to every rank, and each must run steps, and the media of a
// step, in this order. Then rows may be given to another unit while steps that read them are still
// in flight. Used by the engine's thread.
class EncoderCache {
 public:
  explicit EncoderCache(int32_t rows);  // 0: keeps nothing

  // Whether place() would find the features of this unit in a step that comes next.
  bool has(const model::MediaUnit& unit) const;

  // Fills in cache_row and encoded of a step's media, and counts these units as known from now on.
  // Takes the rows of the longest unused units where there is no room. A unit longer than the cache
  // is not kept. Moves the units that it has to the front: their rows are read before another of
  // this step can take them.
  void place(std::span<model::ModelInput::Media> media);

  uint64_t queries() const { return queries_; }  // units that steps needed
  uint64_t hits() const { return hits_; }        // of these, units that were not encoded

 private:
  struct Entry {
    ContentKey hash;
    int32_t row = 0;
    int32_t length = 0;
  };
  using Gaps = std::map<int32_t, int32_t>;  // first row -> length; no two touch

  void place(model::ModelInput::Media& media);
  int32_t take_rows(int32_t length);
  Gaps::iterator evict_oldest();

  const int32_t rows_;
  Gaps gaps_;
  std::list<Entry> entries_;  // longest unused first
  std::unordered_map<ContentKey, std::list<Entry>::iterator> by_hash_;
  uint64_t queries_ = 0;
  uint64_t hits_ = 0;
};

}  // namespace ernie::engine
