#pragma once

#include <cstdint>
#include <vector>

#include "base/client_id.h"
#include "base/content_key.h"
#include "sched/block_pool.h"

namespace ernie::sched {

using SequenceId = uint64_t;

// Placeholder tokens [begin, begin + length) of one media unit. A step never ends inside one.
struct MediaSpan {
  int32_t begin = 0;
  int32_t length = 0;
  ContentKey hash;  // of the unit's content
  int32_t end() const { return begin + length; }
};

// What the scheduler needs to know of a request.
struct Request {
  SequenceId id = 0;
  std::vector<int32_t> tokens;   // the prompt, not empty
  std::vector<MediaSpan> media;  // by rising begin, inside the prompt, not overlapping
  int32_t max_tokens = 1;        // generated tokens after which it ends at the latest
  ContentKey cache_salt{};       // blocks are shared with requests of the same one only
  ClientId client = 0;           // clients take turns; of one, who comes first goes first
  bool score_prompt = false;     // the logits in front of each token of the prompt are wanted
};

// A request on its way. Tokens whose keys and values are in the cache: [0, computed).
struct Sequence {
  SequenceId id = 0;
  std::vector<int32_t> tokens;  // prompt, then generated
  std::vector<MediaSpan> media;
  ContentKey cache_salt;
  ClientId client = 0;
  int32_t prompt_length = 0;
  int32_t max_length = 0;  // prompt and generated tokens at most

  std::vector<BlockId> blocks;         // block table; empty while waiting
  std::vector<ContentKey> block_keys;  // of every full block of `tokens`
  int32_t computed = 0;                // tokens of committed steps and cache hits
  int32_t in_flight = 0;               // tokens of steps that run now
  int32_t pending = 0;                 // generated tokens of steps that run now, not known yet
  int32_t published = 0;               // leading blocks that are in the prefix cache
  int32_t hit_tokens = 0;              // taken from the prefix cache at the last admission
  int32_t preemptions = 0;
  int64_t place = 0;    // in the order of those that wait
  int32_t scored = 0;   // up to here logits of the prompt were had, or are not wanted
  bool held = false;    // no step may compute anything of it
  bool doomed = false;  // ended; waits for steps in flight to let go of it

  int32_t generated() const { return static_cast<int32_t>(tokens.size()) - prompt_length; }
  // Where the next step starts, and how far it can go; tokens not known yet count.
  int32_t scheduled() const { return computed + in_flight; }
  int32_t length() const { return static_cast<int32_t>(tokens.size()) + pending; }
  bool is_scored() const { return scored >= prompt_length - 1; }
};

// Whether the logits at `position` are wanted for the token of the prompt that comes next. Those
// in front of a media unit's placeholders say nothing.
bool scores_at(const Sequence& sequence, int32_t position);

// Appends the keys of full blocks of `tokens` that have none yet. A key covers the tokens, the
// previous key, and content and place of every media unit that overlaps the block.
void extend_block_keys(Sequence& sequence, int block_size);

// The end of the media unit that `position` lies strictly inside, else `position`.
int32_t round_up_to_media(const std::vector<MediaSpan>& media, int32_t position);
// Its begin, else `position`.
int32_t round_down_to_media(const std::vector<MediaSpan>& media, int32_t position);

inline int32_t blocks_for(int32_t tokens, int32_t block_size) {
  return (tokens + block_size - 1) / block_size;
}

}  // namespace ernie::sched
