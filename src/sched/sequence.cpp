#include "sched/sequence.h"

#include <algorithm>

namespace ernie::sched {
namespace {

// The first unit that ends after `position`.
auto first_ending_after(const std::vector<MediaSpan>& media, int32_t position) {
  return std::partition_point(media.begin(), media.end(),
                              [&](const MediaSpan& span) { return span.end() <= position; });
}

}  // namespace

bool scores_at(const Sequence& sequence, int32_t position) {
  const int32_t next = position + 1;
  if (position < sequence.scored || next >= sequence.prompt_length) return false;
  const auto span = first_ending_after(sequence.media, next);
  return span == sequence.media.end() || next < span->begin;
}

void extend_block_keys(Sequence& sequence, int block_size) {
  auto& keys = sequence.block_keys;
  std::vector<uint64_t> content;
  while ((keys.size() + 1) * block_size <= sequence.tokens.size()) {
    const int32_t begin = static_cast<int32_t>(keys.size()) * block_size;
    const int32_t end = begin + block_size;
    content.clear();
    for (int32_t i = begin; i < end; ++i) {
      content.push_back(static_cast<uint32_t>(sequence.tokens[i]));
    }
    for (auto span = first_ending_after(sequence.media, begin);
         span != sequence.media.end() && span->begin < end; ++span) {
      content.insert(content.end(), span->hash.words.begin(), span->hash.words.end());
      content.insert(content.end(),
                     {static_cast<uint64_t>(span->begin), static_cast<uint64_t>(span->length)});
    }
    const ContentKey previous = keys.empty() ? sequence.cache_salt : keys.back();
    keys.push_back(content_key(previous, content.data(), content.size() * sizeof(content[0])));
  }
}

int32_t round_up_to_media(const std::vector<MediaSpan>& media, int32_t position) {
  const auto span = first_ending_after(media, position);
  return span != media.end() && span->begin < position ? span->end() : position;
}

int32_t round_down_to_media(const std::vector<MediaSpan>& media, int32_t position) {
  const auto span = first_ending_after(media, position);
  return span != media.end() && span->begin < position ? span->begin : position;
}

}  // namespace ernie::sched
