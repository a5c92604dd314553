// Damaged files: an answer that is defined, and never a crash (run this under the sanitizers too).
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "media/image.h"
#include "media/test_files.h"

namespace ernie::media {
namespace {

using File = std::vector<uint8_t>;

// Small, so that a damaged size cannot make the test slow.
constexpr DecodeLimits kLimits{.max_pixels = 50'000, .max_side = 4'000};

constexpr const char* kSmallFiles[] = {
    "jpeg_exif_6.jpg",   "jpeg_17x1.jpg", "png_1x1.png",   "png_palette_1bit.png",
    "png_grey_2bit.png", "gif_tiny.gif",  "webp_1x1.webp", "webp_tiny_animated.webp"};

std::string outcome(const File& file) {
  const Result<Image> image = decode_image(file, kLimits);
  if (!image) return image.error().code;
  EXPECT_EQ(image->rgb.size(), size_t{3} * image->width * image->height);
  const Result<ImageInfo> info = probe_image(file);
  EXPECT_TRUE(info && info->width == image->width && info->height == image->height);
  return "ok";
}

// A56
TEST(CorruptImage, TruncatedAtEveryByteIsInvalid) {
  for (const char* name : kSmallFiles) {
    const File file = read_golden(name);
    ASSERT_EQ(outcome(file), "ok") << name;
    size_t accepted = 0;
    for (size_t length = 0; length < file.size(); ++length) {
      const std::string code = outcome(File(file.begin(), file.begin() + length));
      EXPECT_TRUE(code == "invalid_image" || code == "ok") << name << " " << length << ": " << code;
      if (code == "ok") ++accepted;
    }
    // What may be lost: a GIF's trailer and end of data.
    EXPECT_LE(accepted, 4u) << name;
  }
}

// A56
TEST(CorruptImage, EveryFlippedBitIsInvalidOrAnImage) {
  for (const char* name : kSmallFiles) {
    const File file = read_golden(name);
    for (size_t bit = 0; bit < 8 * file.size(); ++bit) {
      File flipped = file;
      flipped[bit / 8] ^= 1 << bit % 8;
      const std::string code = outcome(flipped);
      // In the first 12 bytes the signature may be lost; elsewhere the size may grow.
      const bool expected = code == "ok" || code == "invalid_image" || code == "image_too_large" ||
                            (code == "unsupported_media_type" && bit < 12 * 8);
      EXPECT_TRUE(expected) << name << " bit " << bit << ": " << code;
    }
  }
}

}  // namespace
}  // namespace ernie::media
