// Decoding and resizing against what Pillow made of the same files (tools/golden/media_golden.py).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "media/image.h"
#include "media/resize.h"
#include "media/test_files.h"

namespace ernie::media {
namespace {

struct Expected {
  std::string kind;
  std::string name;
  int width = 0;
  int height = 0;
  std::string hash;
};

std::vector<Expected> read_expected() {
  std::ifstream in(golden_path("expected.txt"));
  std::vector<Expected> lines;
  for (Expected e; in >> e.kind >> e.name >> e.width >> e.height >> e.hash;) lines.push_back(e);
  return lines;
}

// A57
TEST(Golden, DecodedPixelsAndSizesEqualPillow) {
  int pictures = 0;
  for (const Expected& e : read_expected()) {
    if (e.kind != "picture") continue;
    ++pictures;
    const std::vector<uint8_t> file = read_golden(e.name);
    const Result<ImageInfo> info = probe_image(file);
    ASSERT_TRUE(info) << e.name << ": " << info.error().message;
    EXPECT_EQ(info->width, e.width) << e.name;
    EXPECT_EQ(info->height, e.height) << e.name;
    const Result<Image> image = decode_image(file);
    ASSERT_TRUE(image) << e.name << ": " << image.error().message;
    EXPECT_EQ(image->width, e.width) << e.name;
    EXPECT_EQ(image->height, e.height) << e.name;
    EXPECT_EQ(hash_of(*image), e.hash) << e.name;
  }
  EXPECT_GE(pictures, 60);
}

std::vector<uint8_t> bytes_of_hex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// What Pillow takes and what it calls truncated (tools/golden/jpeg_ends_golden.py).
TEST(Golden, JpegsWithABrokenEndAreReadAsByPillow) {
  std::ifstream in(golden_path("jpeg_ends.txt"));
  std::string name, tail, verdict;
  int cases = 0;
  for (size_t kept = 0; in >> name >> kept >> tail >> verdict; ++cases) {
    std::vector<uint8_t> file = read_golden(name);
    file.resize(kept);
    const std::vector<uint8_t> behind = bytes_of_hex(tail);
    file.insert(file.end(), behind.begin(), behind.end());
    const Result<Image> image = decode_image(file);
    EXPECT_EQ(image ? hash_of(*image) : "invalid", verdict) << name << " " << kept << " " << tail;
  }
  EXPECT_GE(cases, 300);
}

TEST(Golden, ResizedPixelsEqualPillow) {
  int resizes = 0;
  std::map<std::string, Image> decoded;
  for (const Expected& e : read_expected()) {
    if (e.kind != "resize") continue;
    ++resizes;
    if (!decoded.contains(e.name)) {
      Result<Image> image = decode_image(read_golden(e.name));
      ASSERT_TRUE(image) << e.name;
      decoded[e.name] = *image;
    }
    EXPECT_EQ(hash_of(resize_bicubic(decoded[e.name], e.width, e.height)), e.hash)
        << e.name << " to " << e.width << "x" << e.height;
  }
  EXPECT_GE(resizes, 400);
}

}  // namespace
}  // namespace ernie::media
