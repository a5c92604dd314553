#include "media/video.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
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

// The processes that run the decoder's program, with their parents.
std::map<pid_t, pid_t> decoder_processes() {
  std::map<pid_t, pid_t> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::error_code error;
    const auto program = std::filesystem::read_symlink(entry.path() / "exe", error);
    if (error || program != ERNIE_MEDIA_DECODER) continue;
    std::ifstream status(entry.path() / "status");
    std::string word;
    while (status >> word && word != "PPid:") {
    }
    pid_t parent = 0;
    if (status >> parent) out[std::stoi(entry.path().filename().string())] = parent;
  }
  return out;
}

// Of all decoders that run, the one whose parent is `parent`; 0: none.
pid_t child_of(pid_t parent) {
  for (const auto& [pid, its_parent] : decoder_processes()) {
    if (its_parent == parent) return pid;
  }
  return 0;
}

std::string status_of(pid_t pid, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    if (word == field && status >> word) return word;
  }
  return "";
}

class Video : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!decoder_.is_there()) GTEST_SKIP() << "a build without FFmpeg";
  }

  std::string open_error(const std::vector<uint8_t>& bytes, const VideoLimits& limits = {}) {
    const auto video = VideoFile::open(bytes, decoder_, limits, kGoOn);
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
  ASSERT_TRUE(video.start(numbers, kGoOn));
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
    const auto clip = read_clip(name);
    auto video = VideoFile::open(clip, decoder_, {}, kGoOn);
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

TEST_F(Video, A60WhatIsNoVideoIsRefused) {
  EXPECT_EQ(open_error({}), "invalid_video");
  EXPECT_EQ(open_error({'h', 'e', 'l', 'l', 'o'}), "unsupported_media_type");
  EXPECT_EQ(open_error(std::vector<uint8_t>(100'000, 0)), "unsupported_media_type");
  // A playlist that would have other files read.
  const std::string list = "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n";
  EXPECT_EQ(open_error({list.begin(), list.end()}), "unsupported_media_type");
  const std::string concat = "ffconcat version 1.0\nfile /etc/passwd\n";
  EXPECT_EQ(open_error({concat.begin(), concat.end()}), "unsupported_media_type");
}

// Who sends half a file is not told that nobody knows what it is.
TEST_F(Video, AFileCutShortIsAVideoThatIsBroken) {
  const auto clip = read_clip("h264.mp4");  // its index stands at the end
  for (const size_t bytes : {clip.size() / 10, clip.size() / 2, clip.size() - 100}) {
    const std::vector<uint8_t> cut(clip.begin(), clip.begin() + static_cast<ptrdiff_t>(bytes));
    const auto video = VideoFile::open(cut, decoder_, {}, kGoOn);
    ASSERT_FALSE(video) << bytes;
    EXPECT_EQ(video.error().code, "invalid_video") << bytes;
    EXPECT_THAT(video.error().message, testing::HasSubstr("cut short")) << bytes;
  }
  const auto fragments = read_clip("h264_fragmented.mp4");
  EXPECT_EQ(open_error({fragments.begin(), fragments.begin() + 500}), "invalid_video");
  // Its table of sizes says that it has more entries than the file has bytes.
  auto lying = clip;
  constexpr std::string_view kTable = "stsz";
  const auto table = std::search(lying.begin(), lying.end(), kTable.begin(), kTable.end());
  ASSERT_NE(table, lying.end());
  table[12] = 0x0F;
  EXPECT_EQ(open_error(lying), "invalid_video");
}

TEST_F(Video, A60LimitsHold) {
  VideoLimits small;
  small.frame.max_pixels = 128 * 72 - 1;
  EXPECT_EQ(open_error(read_clip("h264.mp4"), small), "video_too_large");
  EXPECT_EQ(open_error(read_clip("vp9.webm"), small), "none");
  VideoLimits no_time;
  no_time.timeout_ms = 0;
  EXPECT_EQ(open_error(read_clip("h264.mp4"), no_time), "video_decode_timeout");
}

TEST_F(Video, A60ItsMemoryHasALimit) {
  VideoLimits little;
  little.open_bytes = 1;
  EXPECT_EQ(open_error(read_clip("h264.mp4"), little), "video_too_large");
}

TEST_F(Video, A60ADecoderHasNoRightsAndEndsWithItsReader) {
  const auto clip = read_clip("h264.mp4");
  pid_t child = 0;
  {
    auto video = VideoFile::open(clip, decoder_, {}, kGoOn);
    ASSERT_TRUE(video);
    std::vector<uint32_t> all(video->info().frames);
    std::iota(all.begin(), all.end(), 0);
    ASSERT_TRUE(video->start(all, kGoOn));
    ASSERT_TRUE(video->next(kGoOn));
    // More frames than a socket holds: it waits for its reader.
    child = child_of(child_of(getpid()));
    ASSERT_NE(child, 0);
    EXPECT_EQ(status_of(child, "Seccomp:"), "2");
    EXPECT_EQ(status_of(child, "NoNewPrivs:"), "1");
    EXPECT_NE(kill(child, 0), -1);
  }
  for (int i = 0; i < 500 && kill(child, 0) == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(kill(child, 0), -1);
}

TEST_F(Video, AProgramThatWasKilledIsStartedAgain) {
  EXPECT_EQ(open_error(read_clip("h264.mp4")), "none");
  // At any moment: it may still take the next job.
  for (int i = 0; i < 20; ++i) {
    kill(child_of(getpid()), SIGKILL);
    EXPECT_EQ(open_error(read_clip("h264.mp4")), "none");
  }
}

TEST_F(Video, AProgramThatWasStoppedHoldsUpNobodysEnd) {
  auto decoder = std::make_unique<MediaDecoder>(ERNIE_MEDIA_DECODER);
  ASSERT_TRUE(VideoFile::open(read_clip("h264.mp4"), *decoder, {}, kGoOn));
  const pid_t stopped = child_of(getpid());
  kill(stopped, SIGSTOP);
  decoder.reset();
  EXPECT_EQ(kill(stopped, 0), -1);
}

TEST_F(Video, ACancelledRequestWaitsForNothing) {
  std::atomic<bool> cancelled{false};
  const auto clip = read_clip("h264.mp4");
  auto video = VideoFile::open(clip, decoder_, {}, cancelled);
  ASSERT_TRUE(video);
  ASSERT_TRUE(video->start(std::vector<uint32_t>{0, 1}, cancelled));
  cancelled = true;
  const auto frame = video->next(cancelled);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, "cancelled");
}

// A clip with some of its bytes changed, cut, moved or set to large numbers.
std::vector<uint8_t> broken(std::vector<uint8_t> bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](size_t end) { return static_cast<size_t>(random() % end); };
  if (below(4) == 0) bytes.resize(1 + below(bytes.size()));
  for (size_t change = below(24); change > 0; --change) {
    // Headers stand at either end.
    const size_t near = below(2) == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 2048);
    const size_t at = below(2) == 0 ? below(near) : bytes.size() - 1 - below(near);
    const size_t rest = std::min<size_t>(bytes.size() - at, 1 + below(16));
    const size_t from = below(bytes.size() - rest + 1);
    switch (below(4)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at), rest, 0xFF);
        break;
      case 2:
        std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(at), rest, 0x00);
        break;
      default:
        std::copy_n(std::vector<uint8_t>(bytes).begin() + static_cast<ptrdiff_t>(from), rest,
                    bytes.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  return bytes;
}

// Broken files end in frames or in an error, and never in a decoder that hangs. ERNIE_BROKEN_FILES
// says how many are tried.
TEST_F(Video, A60BrokenFilesHarmNothing) {
  const std::set<std::string> codes{"invalid_video", "unsupported_media_type", "video_too_large"};
  const char* wanted = std::getenv("ERNIE_BROKEN_FILES");
  const uint64_t count = wanted ? std::strtoull(wanted, nullptr, 10) : 240;
  std::vector<std::vector<uint8_t>> clips;
  for (const auto& [name, expected] : read_expected()) clips.push_back(read_clip(name));
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> opened{0};
  const auto work = [&] {
    for (uint64_t i = next++; i < count; i = next++) {
      const auto file = broken(clips[i % clips.size()], i);
      auto video = VideoFile::open(file, decoder_, {}, kGoOn);
      EXPECT_TRUE(video || codes.contains(video.error().code))
          << i << ": " << video.error().message;
      if (!video) continue;
      ++opened;
      const std::vector<uint32_t> ends{0, std::max(1u, video->info().frames - 1)};
      ASSERT_TRUE(video->start(ends, kGoOn));
      for (size_t k = 0; k < 2; ++k) {
        const auto frame = video->next(kGoOn);
        EXPECT_TRUE(frame || codes.contains(frame.error().code))
            << i << ": " << frame.error().message;
        if (!frame) break;
      }
    }
  };
  std::thread other(work);
  work();
  other.join();
  std::printf("%llu of %llu broken files were opened\n",
              static_cast<unsigned long long>(opened.load()),
              static_cast<unsigned long long>(count));
  EXPECT_EQ(open_error(read_clip("h264.mp4")), "none") << "the decoder goes on";
}

TEST_F(Video, ManyAtOnce) {
  const auto clip = read_clip("h264.mp4");
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      auto video = VideoFile::open(clip, decoder_, {}, kGoOn);
      if (!video || !video->start(std::vector<uint32_t>{0, 74}, kGoOn)) return;
      if (video->next(kGoOn) && video->next(kGoOn)) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}

// A decoder that does not start, as without one of its libraries, is the server's fault.
TEST(VideoWithoutDecoder, OneThatDoesNotStartIsNoFaultOfTheFile) {
  MediaDecoder broken("/bin/false");
  const auto clip = read_clip("h264.mp4");
  const auto video = VideoFile::open(clip, broken, {}, kGoOn);
  ASSERT_FALSE(video);
  EXPECT_EQ(video.error().kind, ErrorKind::kInternal);
  EXPECT_EQ(video.error().message.find("/bin/false"), std::string::npos);
}

TEST(VideoWithoutDecoder, SaysWhatToDo) {
  MediaDecoder none("/nonexistent/ernie-media-decoder");
  EXPECT_FALSE(none.is_there());
  const auto video = VideoFile::open(read_clip("h264.mp4"), none, {}, kGoOn);
  ASSERT_FALSE(video);
  EXPECT_EQ(video.error().code, "unsupported_media_type");
  EXPECT_NE(video.error().message.find("as JPEG or PNG"), std::string::npos);
}

}  // namespace
}  // namespace ernie::media
