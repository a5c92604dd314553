#pragma once

#include <vector>

#include "media/image.h"
#include "model/processor.h"

namespace ernie::model::testing {

// Prepares a picture, or the frames of a video, that are decoded already.
inline Result<PreparedMedia> prepare(const Processor& processor, bool is_video,
                                     const std::vector<media::Image>& frames) {
  MediaShape shape{.is_video = is_video, .frames = frames.size()};
  if (!frames.empty()) {
    shape.height = frames.front().height;
    shape.width = frames.front().width;
  }
  return processor.prepare(shape, [&](size_t i) -> Result<media::Image> { return frames[i]; });
}

}  // namespace ernie::model::testing
