#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/content_key.h"

namespace ernie::model {

// Pixels of one media unit, cut into patches and still uint8.
// Rows are in merge-window order: frame, then 2x2 windows row-major, then (0,0) (0,1) (1,0) (1,1)
// inside.
struct PatchGrid {
  int frames = 1;  // 1 for an image, 2 for a unit of a video
  int height = 0;  // patches per column, even
  int width = 0;   // patches per row, even
  // [frames * height * width, 3 * patch * patch]: (channel, row, column). Empty: not decoded, since
  // it was seen before; a cache must have what is made of it.
  std::vector<uint8_t> pixels;

  // Tokens the language model sees: one per 2x2 window and pair of frames.
  int tokens() const { return (height / 2) * (width / 2); }
};

// What the vision tower encodes whole: an image, or two consecutive frames of a video.
struct MediaUnit {
  int32_t begin = 0;   // first placeholder token in the prompt
  int32_t length = 0;  // placeholder tokens
  int32_t item = 0;    // of which picture or video of the prompt, counted from 0
  ContentKey hash;     // of pixels and geometry; equal hashes mean equal features
  bool is_video = false;
  std::shared_ptr<const PatchGrid> patches;
};

// A prompt after template, tokenizer and image processing: all the engine and the model need.
// Immutable.
struct Prompt {
  std::vector<int32_t> tokens;                    // [n]
  std::vector<std::array<int32_t, 3>> positions;  // [n] (t, h, w)
  std::vector<uint8_t> is_vision;                 // [n] 1 = routed to the vision experts
  int32_t next_position = 0;     // position, on all axes, of the first generated token
  std::vector<MediaUnit> media;  // by rising begin, not overlapping
  ContentKey cache_salt;         // what it leaves in caches is for prompts of the same one only;
                                 // hashes of media hold it already
  int32_t image_tokens = 0;
  int32_t video_tokens = 0;
};

}  // namespace ernie::model
