#include "model/video_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace ernie::model {
namespace {

// Most frames that are taken of a video, whatever a request asks for.
constexpr int kMostFrames = 10'000;

// One frame of each of `count` intervals that divide the video, count <= frames.
std::vector<uint32_t> sample_intervals(FramesSample how, uint32_t frames, uint32_t count,
                                       std::mt19937_64& random) {
  const double step = static_cast<double>(frames) / count;
  const auto edge = [&](uint32_t i) {
    return i == count ? frames : static_cast<uint32_t>(static_cast<double>(i) * step);
  };
  std::vector<uint32_t> out;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t first = edge(i);
    const uint32_t last = edge(i + 1) - 1;
    if (how == FramesSample::kLeading) out.push_back(first);
    if (how == FramesSample::kMiddle) out.push_back((first + last) / 2);
    if (how == FramesSample::kRandom) {
      out.push_back(std::uniform_int_distribution<uint32_t>(first, std::max(first, last))(random));
    }
  }
  return out;
}

// The frames nearest to moments 1 / fps apart, from 0 or, but for kLeading, from half a step on.
std::vector<uint32_t> sample_moments(FramesSample how, double fps, uint32_t frames,
                                     double video_fps, std::mt19937_64& random) {
  const double duration = frames / video_fps;
  const double step = 1 / fps;
  const double begin = how == FramesSample::kLeading ? 0 : step / 2;
  const double end = how == FramesSample::kLeading ? duration : duration + step / 2;
  const auto count = static_cast<int64_t>(std::ceil((end - begin) / step));
  std::vector<uint32_t> out;
  for (int64_t i = 0; i < count; ++i) {
    double moment = begin + static_cast<double>(i) * step;
    if (how == FramesSample::kRandom) {
      moment += (std::uniform_real_distribution<double>(0, 1)(random) - 0.5) * step;
    }
    const double number = std::nearbyint(moment * video_fps);  // half to even, as numpy's around
    if (number < frames) out.push_back(static_cast<uint32_t>(number));
  }
  // Half a step may lie behind the end.
  if (out.empty()) out.push_back(frames - 1);
  std::sort(out.begin(), out.end());
  return out;
}

Error bad(const std::string& name, const std::string& found, const std::string& expected) {
  return invalid_argument(name + ": expected " + expected + ", found " + found, name);
}

Status check_sampling(const VideoSampling& s) {
  const auto number = [](int value) { return std::to_string(value); };
  if (s.min_frames > kMostFrames) {
    return bad("min_frames", number(s.min_frames), "at most " + number(kMostFrames));
  }
  if (s.max_frames < 1 || s.max_frames > kMostFrames) {
    return bad("max_frames", number(s.max_frames), "1 to " + number(kMostFrames));
  }
  if (s.min_frames > s.max_frames) {
    return bad("min_frames", number(s.min_frames), "at most max_frames, " + number(s.max_frames));
  }
  if (s.target_frames > 0) {
    if (s.target_frames < s.min_frames || s.target_frames > s.max_frames) {
      return bad(
          "target_frames", number(s.target_frames),
          "min_frames to max_frames, " + number(s.min_frames) + " to " + number(s.max_frames));
    }
    return {};
  }
  if (!std::isfinite(s.fps) || s.fps <= 0) {
    return bad("fps", fmt::format("{}", s.fps), "more than 0 where target_frames is not given");
  }
  return {};
}

}  // namespace

Result<FramesSample> parse_frames_sample(const std::string& name) {
  if (name == "leading") return FramesSample::kLeading;
  if (name == "middle") return FramesSample::kMiddle;
  if (name == "rand") return FramesSample::kRandom;
  return bad("frames_sample", "\"" + name + "\"", "\"leading\", \"middle\" or \"rand\"");
}

const char* frames_sample_name(FramesSample sample) {
  if (sample == FramesSample::kMiddle) return "middle";
  return sample == FramesSample::kRandom ? "rand" : "leading";
}

Result<VideoSampling> choose_sampling(const VideoSampling& usual, const text::FrameChoice& choice) {
  VideoSampling out = usual;
  if (choice.target_frames.value_or(-1) > 0) {
    if (choice.fps.value_or(-1) >= 0) {
      return bad("fps", fmt::format("{}", *choice.fps), "none, or -1, beside target_frames");
    }
    out.target_frames = *choice.target_frames;
    // Limits that the request does not name are the server's own and follow its wish.
    if (!choice.min_frames) out.min_frames = std::min(out.min_frames, out.target_frames);
    if (!choice.max_frames) out.max_frames = std::max(out.max_frames, out.target_frames);
  } else if (choice.fps || choice.target_frames) {
    out.fps = choice.fps.value_or(usual.fps);
    out.target_frames = -1;
  }
  out.min_frames = choice.min_frames.value_or(out.min_frames);
  out.max_frames = choice.max_frames.value_or(out.max_frames);
  // Of two limits the one that the request does not name follows the other.
  if (!choice.min_frames) out.min_frames = std::min(out.min_frames, out.max_frames);
  if (!choice.max_frames) out.max_frames = std::max(out.max_frames, out.min_frames);
  if (choice.frames_sample) {
    const auto sample = parse_frames_sample(*choice.frames_sample);
    if (!sample) return sample.error();
    out.frames_sample = *sample;
  }
  if (auto s = check_sampling(out); !s) return s.error();
  return out;
}

std::vector<uint32_t> sample_frames(const VideoSampling& sampling, uint32_t frames,
                                    double video_fps, uint64_t seed) {
  std::mt19937_64 random(seed);
  int target = sampling.target_frames;
  if (target <= 0) {
    const double wanted = std::trunc(frames / video_fps * sampling.fps);
    if (wanted < sampling.min_frames) target = sampling.min_frames;
    if (wanted > sampling.max_frames) target = sampling.max_frames;
  }
  if (target > 0) {
    return sample_intervals(sampling.frames_sample, frames,
                            std::min(frames, static_cast<uint32_t>(target)), random);
  }
  return sample_moments(sampling.frames_sample, sampling.fps, frames, video_fps, random);
}

}  // namespace ernie::model
