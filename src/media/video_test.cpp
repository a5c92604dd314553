#include "media/video.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "media/media_decoder.h"
#include "media/test_files.h"

namespace ernie::media {
namespace {

const std::string kClips = "tests/golden/video/";
const std::atomic<bool> kGoOn{false};

std::vector<uint8_t> read_clip(const std::string& name) {
  std::ifstream in(kClips + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class Video : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!decoder_.is_there()) GTEST_SKIP() << "a build without FFmpeg";
  }

  Result<VideoFile> open(std::vector<uint8_t> bytes, const VideoLimits& limits = {}) {
    return VideoFile::open({.bytes = std::move(bytes)}, decoder_, limits, kGoOn);
  }

  std::string open_error(std::vector<uint8_t> bytes, const VideoLimits& limits = {}) {
    const auto video = open(std::move(bytes), limits);
    return video ? "none" : video.error().code;
  }

  MediaDecoder decoder_{ERNIE_MEDIA_DECODER};
};

struct Expected {
  uint32_t frames = 0;
  double fps = 0;
  int width = 0;
  int height = 0;
  std::map<uint32_t, std::string> hashes;  // by number
};

std::map<std::string, Expected> read_expected() {
  std::map<std::string, Expected> out;
  std::ifstream file(kClips + "expected.txt");
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string kind, name;
    words >> kind >> name;
    Expected& clip = out[name];
    if (kind == "video") {
      words >> clip.frames >> clip.fps >> clip.width >> clip.height;
    } else {
      uint32_t number = 0;
      words >> number >> clip.hashes[number];
    }
  }
  return out;
}

// Tests of a few frames and of all: the first seeks where it is worth it, the second never does.
void expect_frames(VideoFile& video, const std::vector<uint32_t>& numbers, const Expected& expected,
                   const std::string& name) {
  ASSERT_TRUE(video.start(numbers));
  for (const uint32_t number : numbers) {
    const auto frame = video.next(kGoOn);
    ASSERT_TRUE(frame) << name << " " << number << ": " << frame.error().message;
    EXPECT_EQ(frame->width, expected.width) << name;
    EXPECT_EQ(frame->height, expected.height) << name;
    const auto hash = expected.hashes.find(number);
    if (hash == expected.hashes.end()) continue;
    EXPECT_EQ(hash_of(*frame), hash->second) << name << ", frame " << number;
  }
}

TEST_F(Video, FramesAreThoseOfTheVendorsReader) {
  const auto clips = read_expected();
  EXPECT_GE(clips.size(), 30u);
  for (const auto& [name, expected] : clips) {
    auto video = open(read_clip(name));
    ASSERT_TRUE(video) << name << ": " << video.error().message;
    EXPECT_EQ(video->info().frames, expected.frames) << name;
    EXPECT_DOUBLE_EQ(video->info().fps, expected.fps) << name;
    std::vector<uint32_t> some;
    for (const auto& [number, hash] : expected.hashes) some.push_back(number);
    expect_frames(*video, some, expected, name);
    std::vector<uint32_t> all;
    for (uint32_t i = 0; i < expected.frames; ++i) all.push_back(i);
    expect_frames(*video, all, expected, name);
  }
}

TEST_F(Video, WhatIsNoVideoIsRefused) {
  EXPECT_EQ(open_error({}), "invalid_video");
  EXPECT_EQ(open_error({'h', 'e', 'l', 'l', 'o'}), "unsupported_media_type");
  EXPECT_EQ(open_error(std::vector<uint8_t>(100'000, 0)), "unsupported_media_type");
  // A playlist that would have other files read.
  const std::string list = "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n";
  EXPECT_EQ(open_error({list.begin(), list.end()}), "unsupported_media_type");
  const std::string concat = "ffconcat version 1.0\nfile /etc/passwd\n";
  EXPECT_EQ(open_error({concat.begin(), concat.end()}), "unsupported_media_type");
}

TEST_F(Video, LimitsHold) {
  VideoLimits small;
  small.frame.max_pixels = 128 * 72 - 1;
  EXPECT_EQ(open_error(read_clip("h264.mp4"), small), "video_too_large");
  EXPECT_EQ(open_error(read_clip("vp9.webm"), small), "none");
  VideoLimits no_time;
  no_time.timeout_ms = 0;
  EXPECT_EQ(open_error(read_clip("h264.mp4"), no_time), "video_decode_timeout");
}

TEST_F(Video, ACancelledRequestWaitsForNothing) {
  std::atomic<bool> cancelled{false};
  auto video = VideoFile::open({.bytes = read_clip("h264.mp4")}, decoder_, {}, cancelled);
  ASSERT_TRUE(video);
  ASSERT_TRUE(video->start(std::vector<uint32_t>{0, 1}));
  cancelled = true;
  const auto frame = video->next(cancelled);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, "cancelled");
}

// Broken files end in pictures or in an error, never in a process that hangs or dies unseen.
TEST_F(Video, BrokenFilesHarmNothing) {
  const std::set<std::string> codes{"none", "invalid_video", "unsupported_media_type",
                                    "video_too_large"};
  for (const auto& [name, expected] : read_expected()) {
    const std::vector<uint8_t> whole = read_clip(name);
    for (uint32_t round = 0; round < 6; ++round) {
      std::vector<uint8_t> broken = whole;
      if (round < 3) broken.resize(whole.size() * (round + 1) / 4);
      for (size_t i = 0; round >= 3 && i < 20; ++i) {
        broken[(i * 7919 + round * 104'729) % broken.size()] ^= static_cast<uint8_t>(1 + i * 37);
      }
      auto video = open(std::move(broken));
      EXPECT_TRUE(video || codes.contains(video.error().code)) << name << video.error().message;
      if (!video) continue;
      const std::vector<uint32_t> ends{0, std::max(1u, video->info().frames - 1)};
      ASSERT_TRUE(video->start(ends));
      const auto frame = video->next(kGoOn);
      EXPECT_TRUE(frame || codes.contains(frame.error().code)) << name << frame.error().message;
    }
  }
  EXPECT_EQ(open_error(read_clip("h264.mp4")), "none") << "the decoder goes on";
}

TEST_F(Video, ManyAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      auto video = open(read_clip("h264.mp4"));
      if (!video || !video->start(std::vector<uint32_t>{0, 74})) return;
      if (video->next(kGoOn) && video->next(kGoOn)) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}

TEST(VideoWithoutDecoder, SaysWhatToDo) {
  MediaDecoder none("/nonexistent/ernie-media-decoder");
  EXPECT_FALSE(none.is_there());
  const auto video = VideoFile::open({.bytes = read_clip("h264.mp4")}, none, {}, kGoOn);
  ASSERT_FALSE(video);
  EXPECT_EQ(video.error().code, "unsupported_media_type");
  EXPECT_NE(video.error().message.find("as JPEG or PNG"), std::string::npos);
}

}  // namespace
}  // namespace ernie::media
