#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"

namespace ernie::model {

enum class FramesSample { kLeading, kMiddle, kRandom };

// Which frames of a video file the model sees. The rule and the names are those of FastDeploy's
// processor of ERNIE-4.5-VL: target_frames if it is positive, else fps, of which min_frames and
// max_frames, if positive, make a target.
struct VideoSampling {
  double fps = 2;
  int min_frames = 16;
  int max_frames = 180;
  int target_frames = -1;
  FramesSample frames_sample = FramesSample::kLeading;
};

// "leading", "middle" or "rand".
Result<FramesSample> parse_frames_sample(const std::string& name);
const char* frames_sample_name(FramesSample sample);

// What a request says comes before the server's own; a target of the request makes the server's
// fps void, as the other way round. An error's message and `param` name the field.
Result<VideoSampling> choose_sampling(const VideoSampling& usual, const text::FrameChoice& choice);

// The numbers of the frames, never falling (fps above the video's own repeats frames); not empty.
// `video_fps`: frames / seconds. `seed` decides for kRandom, which takes any frame of each
// interval.
std::vector<uint32_t> sample_frames(const VideoSampling& sampling, uint32_t frames,
                                    double video_fps, uint64_t seed);

}  // namespace ernie::model
