// BMP, TIFF, AVIF and HEIC against what Pillow made of the same files
// (tools/golden/still_golden.py).
#include "media/picture_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "media/test_files.h"

namespace ernie::media {
namespace {

const std::string kStills = "tests/golden/stills/";
constexpr const char* kOneOfEach[] = {"bmp_24bit.bmp", "tiff_raw.tif", "avif_420.avif",
                                      "heic_420.heic"};
const std::atomic<bool> kGoOn{false};

std::vector<uint8_t> read_still(const std::string& name) {
  std::ifstream in(kStills + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct Expected {
  std::string kind;
  std::string name;
  int width = 0;
  int height = 0;
  std::string hash;  // of kind "near" the largest difference
};

std::vector<Expected> read_expected() {
  std::ifstream in(kStills + "expected.txt");
  std::vector<Expected> lines;
  for (Expected e; in >> e.kind >> e.name >> e.width >> e.height >> e.hash;) lines.push_back(e);
  return lines;
}

// The largest difference of two samples.
int distance(const Image& a, const Image& b) {
  if (a.rgb.size() != b.rgb.size()) return 256;
  int most = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) most = std::max(most, std::abs(a.rgb[i] - b.rgb[i]));
  return most;
}

std::string format_of(const std::string& start) {
  const auto format = sniff_image({reinterpret_cast<const uint8_t*>(start.data()), start.size()});
  return format ? image_format_name(*format) : "none";
}

// A58
TEST(ImageFormat, IsToldByTheFirstBytes) {
  using std::string_literals::operator""s;
  EXPECT_EQ(format_of("BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"s), "BMP");
  EXPECT_EQ(format_of("BM is how many texts begin"), "none");
  EXPECT_EQ(format_of("MM\0*\0\0\0\x08"s), "TIFF");
  EXPECT_EQ(format_of("II+\0\x08\0\0\0"s), "TIFF");
  EXPECT_EQ(format_of("\0\0\0\x1C"
                      "ftypavif\0\0\0\0mif1miaf"s),
            "AVIF");
  EXPECT_EQ(format_of("\0\0\0\x18"
                      "ftypmif1\0\0\0\0mif1avif"s),
            "AVIF");
  EXPECT_EQ(format_of("\0\0\0\x14"
                      "ftypmif1\0\0\0\0heicavif"s),
            "HEIC");
  EXPECT_EQ(format_of("\0\0\0\x18"
                      "ftypheix\0\0\0\0mif1heic"s),
            "HEIC");
  EXPECT_EQ(format_of("\0\0\0\x18"
                      "ftypisom\0\0\0\0mif1avif"s),
            "none");
  EXPECT_EQ(format_of("\0\0\0\x18"
                      "ftyp"s),
            "none");
  EXPECT_EQ(format_of(""), "none");
}

class Still : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!decoder_.is_there()) GTEST_SKIP() << "a build without FFmpeg";
  }

  Result<PictureFile> open(std::vector<uint8_t> bytes, const DecodeLimits& limits = {},
                           const RequestMemory& memory = {}) {
    return PictureFile::open({.bytes = std::move(bytes)}, decoder_, limits, memory, kGoOn);
  }

  Result<Image> decode(std::vector<uint8_t> bytes, const DecodeLimits& limits = {}) {
    auto picture = open(std::move(bytes), limits);
    if (!picture) return picture.error();
    return picture->decode(kGoOn);
  }

  std::string code(std::vector<uint8_t> bytes, const DecodeLimits& limits = {}) {
    const auto image = decode(std::move(bytes), limits);
    return image ? "none" : image.error().code;
  }

  MediaDecoder decoder_{ERNIE_MEDIA_DECODER};
};

// Where a newer libheif rounds otherwise, Pillow's pixels are in a PNG beside the file.
// A57
TEST_F(Still, PixelsEqualPillow) {
  int pictures = 0;
  for (const Expected& e : read_expected()) {
    ++pictures;
    auto picture = open(read_still(e.name));
    ASSERT_TRUE(picture) << e.name << ": " << picture.error().message;
    EXPECT_EQ(picture->width(), e.width) << e.name;
    EXPECT_EQ(picture->height(), e.height) << e.name;
    const auto image = picture->decode(kGoOn);
    ASSERT_TRUE(image) << e.name << ": " << image.error().message;
    EXPECT_EQ(image->width, e.width) << e.name;
    EXPECT_EQ(image->height, e.height) << e.name;
    if (e.kind == "picture") {
      EXPECT_EQ(hash_of(*image), e.hash) << e.name;
      continue;
    }
    const auto pillow = decode_image(read_still(e.name + ".png"));
    ASSERT_TRUE(pillow) << e.name;
    EXPECT_LE(distance(*image, *pillow), std::stoi(e.hash)) << e.name;
  }
  EXPECT_GE(pictures, 60);
}

TEST_F(Still, OtherFormatsAreDecodedAsEver) {
  const auto image = decode(read_golden("jpeg_exif_6.jpg"));
  ASSERT_TRUE(image);
  EXPECT_EQ(hash_of(*image), hash_of(*decode_image(read_golden("jpeg_exif_6.jpg"))));
  EXPECT_EQ(code({'h', 'e', 'l', 'l', 'o', ' ', 'p', 'i', 'c', 't', 'u', 'r', 'e'}),
            "unsupported_media_type");
}

// A55
TEST_F(Still, LimitsHold) {
  for (const char* name : kOneOfEach) {
    const auto file = read_still(name);
    EXPECT_EQ(code(file, {.max_pixels = 500}), "image_too_large") << name;
    EXPECT_EQ(code(file, {.max_side = 30}), "image_too_large") << name;
    EXPECT_EQ(code(file, {.max_bytes = file.size() - 1}), "image_too_large") << name;
    const auto no_room = open(file, {}, RequestMemory(1 << 20));
    ASSERT_FALSE(no_room) << name;
    EXPECT_EQ(no_room.error().code, "image_too_large") << name;
  }
}

// A55
TEST_F(Still, SizesAreRefusedFromTheHeader) {
  auto bmp = read_still("bmp_24bit.bmp");
  for (const size_t at : {18, 22}) bmp[at] = 0xE8, bmp[at + 1] = 0xFD;
  EXPECT_EQ(code(bmp), "image_too_large");
  // Over libavif's own limit of 16384 x 16384 pixels.
  auto avif = read_still("avif_420.avif");
  constexpr std::string_view kSizes = "ispe";
  const auto box = std::search(avif.begin(), avif.end(), kSizes.begin(), kSizes.end());
  ASSERT_GE(avif.end() - box, 16);
  for (const size_t at : {10, 14}) box[static_cast<ptrdiff_t>(at)] = 0x4F;
  EXPECT_EQ(code(avif), "image_too_large");
}

// A56
TEST_F(Still, BrokenFilesHarmNothing) {
  const std::set<std::string> codes{"none", "invalid_image", "unsupported_media_type",
                                    "image_too_large"};
  for (const Expected& e : read_expected()) {
    const std::vector<uint8_t> whole = read_still(e.name);
    for (uint32_t round = 0; round < 6; ++round) {
      std::vector<uint8_t> broken = whole;
      if (round < 3) broken.resize(whole.size() * (round + 1) / 4);
      for (size_t i = 0; round >= 3 && i < 6; ++i) {
        broken[(i * 7919 + round * 104'729) % broken.size()] ^= static_cast<uint8_t>(1 + i * 37);
      }
      const auto image = decode(std::move(broken));
      EXPECT_TRUE(image || codes.contains(image.error().code)) << e.name << image.error().message;
    }
  }
  EXPECT_EQ(code(read_still("tiff_raw.tif")), "none") << "the decoder goes on";
}

TEST_F(Still, AFileCutShortIsInvalid) {
  for (const char* name : kOneOfEach) {
    const std::vector<uint8_t> whole = read_still(name);
    for (const size_t missing : {size_t{8}, whole.size() / 2, whole.size() - 40}) {
      const auto end = whole.end() - static_cast<ptrdiff_t>(missing);
      EXPECT_EQ(code({whole.begin(), end}), "invalid_image") << name << " without " << missing;
    }
  }
}

// They are of this server, not of a library that nobody who reads them knows.
TEST_F(Still, ErrorsOfTiffSayWhatToDo) {
  auto tiff = read_still("tiff_raw.tif");
  const auto message = [&](std::vector<uint8_t> bytes) {
    const auto image = decode(std::move(bytes));
    return image ? "none" : image.error().message;
  };
  EXPECT_EQ(message({tiff.begin(), tiff.begin() + 20}),
            "the image cannot be used: the TIFF is broken: its header cannot be read; is the file "
            "cut short?");
  // The number of bits, of which tag 258 says 8 or where they stand.
  constexpr uint8_t kBits[] = {0x02, 0x01, 0x03, 0x00};
  const auto tag = std::search(tiff.begin(), tiff.end(), std::begin(kBits), std::end(kBits));
  ASSERT_GE(tiff.end() - tag, 12);
  for (int i = 4; i < 12; ++i) tag[i] = i == 4 ? 1 : i == 8 ? 7 : 0;
  EXPECT_THAT(message(tiff), testing::HasSubstr("TIFFs of 7 bits a sample"));
}

TEST_F(Still, ACancelledRequestWaitsForNothing) {
  auto picture = open(read_still("avif_420.avif"));
  ASSERT_TRUE(picture);
  const std::atomic<bool> cancelled{true};
  const auto image = picture->decode(cancelled);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, "cancelled");
}

TEST(StillWithoutDecoder, SaysWhatToDo) {
  MediaDecoder none("/nonexistent/ernie-media-decoder");
  for (const char* name : kOneOfEach) {
    const auto picture =
        PictureFile::open({.bytes = read_still(name)}, none, {}, RequestMemory(), kGoOn);
    ASSERT_FALSE(picture);
    EXPECT_EQ(picture.error().code, "unsupported_media_type");
    EXPECT_NE(picture.error().message.find("TIFF"), std::string::npos);
    EXPECT_NE(picture.error().message.find("as JPEG or PNG"), std::string::npos);
  }
}

}  // namespace
}  // namespace ernie::media
