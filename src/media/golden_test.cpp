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
