#include "media/time_stamp.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "media/test_files.h"

namespace ernie::media {
namespace {

// The frame of tools/golden/time_stamp_golden.py.
Image make_frame(int width, int height) {
  Image frame = {width, height, {}};
  frame.rgb.reserve(static_cast<size_t>(width) * height * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (const int value : {x * 3 + y, x + y * 5, x * 7 + y * 2}) {
        frame.rgb.push_back(static_cast<uint8_t>(value));
      }
    }
  }
  return frame;
}

TEST(TimeStamp, EqualsPillow) {
  struct Case {
    int video_width = 0;
    int video_height = 0;
    int width = 0;
    int height = 0;
    double seconds = 0;
    std::string hash;
  };
  std::ifstream in(golden_path("time_stamps.txt"));
  int cases = 0;
  for (Case c; in >> c.video_width >> c.video_height >> c.width >> c.height >> c.seconds >> c.hash;
       ++cases) {
    Image frame = make_frame(c.width, c.height);
    TimeStamper(c.video_width, c.video_height).draw(frame, c.seconds);
    EXPECT_EQ(hash_of(frame), c.hash)
        << c.width << "x" << c.height << " of a video of " << c.video_width << "x" << c.video_height
        << ", " << c.seconds << " s";
  }
  EXPECT_GE(cases, 120);
}

TEST(TimeStamp, FrameUnderTenPixelsStaysAsItIs) {
  Image frame = make_frame(9, 200);
  TimeStamper(9, 200).draw(frame, 1.5);
  EXPECT_EQ(frame.rgb, make_frame(9, 200).rgb);
}

TEST(TimeStamp, LongestTimeIsDrawn) {
  Image frame = make_frame(320, 240);
  TimeStamper(320, 240).draw(frame, std::numeric_limits<double>::max());
  EXPECT_NE(frame.rgb, make_frame(320, 240).rgb);
}

TEST(TimeStamp, ThreadsMakeAndDrawAtOnce) {
  const TimeStamper shared(320, 240);
  Image expected = make_frame(320, 240);
  shared.draw(expected, 61);
  std::vector<Image> frames(16, make_frame(320, 240));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < frames.size(); ++i) {
    threads.emplace_back([&shared, &frame = frames[i], own = i % 2 == 0] {
      (own ? TimeStamper(320, 240) : shared).draw(frame, 61);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Image& frame : frames) EXPECT_EQ(frame.rgb, expected.rgb);
}

}  // namespace
}  // namespace ernie::media
