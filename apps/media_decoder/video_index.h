#pragma once

#include <cstdint>
#include <vector>

#include "media/decode_job.h"
#include "video_input.h"

namespace ernie::media {

// The frames of a video in the order in which they are shown, from its packets alone.
struct VideoIndex {
  struct Entry {
    int64_t pts = 0;      // in the stream's time base
    uint32_t packet = 0;  // how many packets come before its own
    bool is_key = false;
  };

  std::vector<Entry> frames;
  // Every frame has a time of its own, so that it can be found by it and be sought.
  bool has_times = true;
  double fps = 0;  // frames / seconds from the first one to the end of the last one
};

// Reads the whole file.
Outcome<VideoIndex> index_video(VideoInput& input);

// What a probe answers.
VideoFacts facts_of(const VideoInput& input, const VideoIndex& index);

}  // namespace ernie::media
