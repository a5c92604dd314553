#include "model/video_sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace ernie::model {
namespace {

TEST(VideoSampling, ChoosesTheVendorsFrames) {
  std::ifstream file("tests/golden/video/sampling.txt");
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    std::istringstream rule(line.substr(0, colon));
    std::istringstream numbers(line.substr(colon + 1));
    uint32_t frames = 0;
    double video_fps = 0;
    VideoSampling sampling;
    std::string how;
    rule >> frames >> video_fps >> sampling.fps >> sampling.min_frames >> sampling.max_frames >>
        sampling.target_frames >> how;
    sampling.frames_sample = *parse_frames_sample(how);
    std::vector<uint32_t> expected;
    for (uint32_t number = 0; numbers >> number;) expected.push_back(number);
    EXPECT_EQ(sample_frames(sampling, frames, video_fps, 0), expected) << line;
    ++cases;
  }
  EXPECT_GT(cases, 500);
}

TEST(VideoSampling, RandomFramesAreOfTheirIntervalsAndDependOnTheSeedAlone) {
  const VideoSampling sampling{.target_frames = 20, .frames_sample = FramesSample::kRandom};
  const auto one = sample_frames(sampling, 200, 25, 1);
  EXPECT_EQ(one, sample_frames(sampling, 200, 25, 1));
  EXPECT_NE(one, sample_frames(sampling, 200, 25, 2));
  ASSERT_EQ(one.size(), 20u);
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(one[i] / 10, i);

  const VideoSampling moments{.fps = 4, .frames_sample = FramesSample::kRandom};
  const auto two = sample_frames(moments, 250, 25, 3);
  EXPECT_EQ(two.size(), 40u);
  EXPECT_TRUE(std::is_sorted(two.begin(), two.end()));
}

TEST(VideoSampling, OfTheShortestVideosSomethingIsTaken) {
  for (const auto sample : {FramesSample::kLeading, FramesSample::kMiddle, FramesSample::kRandom}) {
    for (const double fps : {0.001, 0.5, 2.0, 1000.0}) {
      const VideoSampling sampling{.fps = fps, .min_frames = -1, .frames_sample = sample};
      for (uint64_t seed = 0; seed < 20; ++seed) {
        EXPECT_FALSE(sample_frames(sampling, 1, 25, seed).empty()) << fps;
      }
    }
  }
}

TEST(VideoSampling, ARequestsWishesComeFirst) {
  const VideoSampling usual;
  const auto fps = choose_sampling(usual, {.fps = 5});
  ASSERT_TRUE(fps);
  EXPECT_EQ(fps->fps, 5);
  EXPECT_EQ(fps->target_frames, -1);

  // Four frames are fewer than the server's own least number.
  const auto four = choose_sampling(usual, {.target_frames = 4});
  ASSERT_TRUE(four);
  EXPECT_EQ(sample_frames(*four, 100, 25, 0), (std::vector<uint32_t>{0, 25, 50, 75}));

  const VideoSampling of_target{.target_frames = 20};
  const auto back = choose_sampling(of_target, {.fps = 1, .min_frames = 1});
  ASSERT_TRUE(back);
  EXPECT_EQ(sample_frames(*back, 100, 25, 0), (std::vector<uint32_t>{0, 25, 50, 75}));
}

TEST(VideoSampling, ContradictionsAreErrorsThatNameTheField) {
  const auto param = [](const text::FrameChoice& choice) {
    const auto chosen = choose_sampling({}, choice);
    return chosen ? "none" : chosen.error().param;
  };
  EXPECT_EQ(param({.fps = 2, .target_frames = 20}), "fps");
  EXPECT_EQ(param({.fps = -1, .target_frames = 20}), "none");
  EXPECT_EQ(param({.fps = 0}), "fps");
  EXPECT_EQ(param({.fps = -1}), "fps");
  EXPECT_EQ(param({.min_frames = 9, .max_frames = 8}), "min_frames");
  EXPECT_EQ(param({.min_frames = 200}), "none");
  EXPECT_EQ(param({.max_frames = 4}), "none");
  EXPECT_EQ(param({.max_frames = 0}), "max_frames");
  EXPECT_EQ(param({.min_frames = 8, .target_frames = 4}), "target_frames");
  EXPECT_EQ(param({.frames_sample = "last"}), "frames_sample");
  EXPECT_EQ(choose_sampling({}, {.fps = 2, .target_frames = 20}).error().message,
            "fps: expected none, or -1, beside target_frames, found 2");
}

}  // namespace
}  // namespace ernie::model
