#include "media/image.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "media/exif.h"
#include "media/test_files.h"

namespace ernie::media {
namespace {

using File = std::vector<uint8_t>;

// The code of the error, or "ok".
std::string outcome(const File& file, const DecodeLimits& limits = {}) {
  const Result<Image> image = decode_image(file, limits);
  return image ? "ok" : image.error().code;
}

void append(File& file, const std::string& bytes) {
  file.insert(file.end(), bytes.begin(), bytes.end());
}

std::string be32(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), body.size());
  return be32(data.size()) + body + be32(crc);
}

std::string deflate_of(size_t zeros) {
  const std::string data(zeros, '\0');
  uLongf bytes = compressBound(zeros);
  std::string out(bytes, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &bytes,
            reinterpret_cast<const Bytef*>(data.data()), zeros, 1);
  out.resize(bytes);
  return out;
}

// A PNG whose header states any size; its pixels are those of 1x1.
File png_of(uint32_t width, uint32_t height, const std::string& extra_chunks = {}) {
  File file;
  append(file, "\x89PNG\r\n\x1A\n");
  append(file, png_chunk("IHDR", be32(width) + be32(height) + std::string("\x08\0\0\0\0", 5)));
  append(file, extra_chunks);
  append(file, png_chunk("IDAT", deflate_of(2)) + png_chunk("IEND", ""));
  return file;
}

// `file` with `bytes` written over it at `offset`.
File patched(File file, size_t offset, std::initializer_list<uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), file.begin() + offset);
  return file;
}

size_t find(const File& file, std::initializer_list<uint8_t> bytes) {
  return std::search(file.begin(), file.end(), bytes.begin(), bytes.end()) - file.begin();
}

// A58
TEST(Image, FormatsAreToldByContentOnly) {
  EXPECT_EQ(probe_image(read_golden("jpeg_444.jpg"))->format, ImageFormat::kJpeg);
  EXPECT_EQ(probe_image(read_golden("png_rgb.png"))->format, ImageFormat::kPng);
  EXPECT_EQ(probe_image(read_golden("webp_lossy.webp"))->format, ImageFormat::kWebp);
  EXPECT_EQ(probe_image(read_golden("gif_plain.gif"))->format, ImageFormat::kGif);
}

// Bytes for each pixel: three of the picture, and what the decoder keeps of it beside.
// A62
TEST(Image, HeadersTellWhatDecodingTakes) {
  const std::pair<const char*, size_t> rows[] = {
      {"jpeg_444.jpg", 3},      {"jpeg_exif_6.jpg", 6}, {"jpeg_progressive.jpg", 9},
      {"png_grey_1bit.png", 3}, {"png_rgba.png", 4},    {"png_palette_alpha.png", 4},
      {"png_exif_6.png", 6},    {"gif_plain.gif", 3},   {"webp_lossy.webp", 7}};
  for (const auto& [name, bytes] : rows) {
    const auto info = probe_image(read_golden(name));
    ASSERT_TRUE(info) << name;
    EXPECT_EQ(info->decoding_bytes, bytes * info->width * info->height) << name;
  }
}

// A59
TEST(Image, OtherFormatsAreUnsupported) {
  for (const std::string start :
       {"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "<?xml version=\"1.0\"?><svg/>",
        "%PDF-1.7 and so on", "<!DOCTYPE html><html></html>", "BM6 and so on, a bitmap",
        "II* and so on", "MM and so on", "\x89PNG but no more", "\xFF\xD8 not a JPEG",
        "RIFF\x10 WAVEfmt and so on", "GIF88a and so on"}) {
    EXPECT_EQ(outcome(File(start.begin(), start.end())), "unsupported_media_type") << start;
  }
  for (const std::string brand : {"heic", "avif", "isom"}) {
    File file;
    append(file, std::string("\0\0\0\x18", 4) + "ftyp" + brand + "and so on");
    EXPECT_EQ(outcome(file), "unsupported_media_type") << brand;
  }
  EXPECT_EQ(outcome({}), "invalid_image");
}

TEST(Image, VideosAreSentWhereVideosBelong) {
  for (const char* name : {"h264.mp4", "h264_60fps.mov", "vp9.webm", "mpeg4.avi", "mpeg2.ts"}) {
    const auto image = decode_image(read_golden(std::string("../video/") + name));
    ASSERT_FALSE(image) << name;
    EXPECT_EQ(image.error().code, "unsupported_media_type") << name;
    EXPECT_NE(image.error().message.find("video_url"), std::string::npos) << image.error().message;
  }
}

// A55
TEST(Image, SizeBombsAreRefusedFromTheHeader) {
  EXPECT_EQ(outcome(png_of(1, 1)), "ok");
  EXPECT_EQ(outcome(png_of(65535, 65535)), "image_too_large");
  EXPECT_EQ(outcome(png_of(0x7FFFFFFF, 0x7FFFFFFF)), "image_too_large");
  EXPECT_EQ(outcome(png_of(65535, 1)), "image_too_large");
  EXPECT_EQ(outcome(png_of(40000, 40000)), "image_too_large");
  const File jpeg = read_golden("jpeg_444.jpg");
  const size_t frame = find(jpeg, {0xFF, 0xC0});
  EXPECT_EQ(outcome(patched(jpeg, frame + 5, {0xFF, 0xFF, 0xFF, 0xFF})), "image_too_large");
  EXPECT_EQ(outcome(patched(jpeg, frame + 5, {0xFF, 0xDC, 0xFF, 0xDC})), "image_too_large");
  const File gif = read_golden("gif_plain.gif");
  EXPECT_EQ(outcome(patched(gif, 6, {0xFF, 0xFF, 0xFF, 0xFF})), "image_too_large");
  const size_t gif_frame = find(gif, {0x2C, 0, 0, 0, 0, 67, 0, 47, 0});
  EXPECT_EQ(outcome(patched(gif, gif_frame + 5, {0xFF, 0xFF, 0xFF, 0xFF})), "image_too_large");
  const File webp = read_golden("webp_animated_alpha.webp");  // VP8X: 24-bit sizes less one
  EXPECT_EQ(outcome(patched(webp, 24, {0xFE, 0xFF, 0, 0xFE, 0xFF, 0})), "image_too_large");
}

// A57
TEST(Image, ZeroSizesAreInvalid) {
  EXPECT_EQ(outcome(png_of(0, 1)), "invalid_image");
  EXPECT_EQ(outcome(png_of(1, 0)), "invalid_image");
  const File jpeg = read_golden("jpeg_444.jpg");
  EXPECT_EQ(outcome(patched(jpeg, find(jpeg, {0xFF, 0xC0}) + 5, {0, 0})), "invalid_image");
  const File gif = read_golden("gif_plain.gif");
  const size_t frame = find(gif, {0x2C, 0, 0, 0, 0, 67, 0, 47, 0});
  EXPECT_EQ(outcome(patched(gif, frame + 5, {0, 0})), "invalid_image");
}

TEST(Image, TheLimitsAreTheCallers) {
  const File file = read_golden("png_rgb.png");  // 83 x 59
  EXPECT_EQ(outcome(file, {.max_pixels = 83 * 59}), "ok");
  EXPECT_EQ(outcome(file, {.max_pixels = 83 * 59 - 1}), "image_too_large");
  EXPECT_EQ(outcome(file, {.max_side = 83}), "ok");
  EXPECT_EQ(outcome(file, {.max_side = 82}), "image_too_large");
  EXPECT_EQ(outcome(file, {.max_bytes = file.size()}), "ok");
  EXPECT_EQ(outcome(file, {.max_bytes = file.size() - 1}), "image_too_large");
}

// A55
TEST(Image, PngMetadataBombsAreRefused) {
  const std::string bomb = deflate_of(17 << 20);
  const std::string half = deflate_of(9 << 20);
  const std::string zero(1, '\0');
  const std::string text_head = "k" + zero + "\x01" + zero + "en" + zero + "k" + zero;
  EXPECT_EQ(outcome(png_of(1, 1, png_chunk("zTXt", "k" + zero + zero + half))), "ok");
  EXPECT_EQ(outcome(png_of(1, 1, png_chunk("zTXt", "k" + zero + zero + bomb))), "image_too_large");
  EXPECT_EQ(outcome(png_of(1, 1, png_chunk("iCCP", "k" + zero + zero + bomb))), "image_too_large");
  EXPECT_EQ(outcome(png_of(1, 1, png_chunk("iTXt", text_head + bomb))), "image_too_large");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += png_chunk("zTXt", "k" + zero + zero + "x");
  EXPECT_EQ(outcome(png_of(1, 1, many)), "image_too_large");
  const std::string two = png_chunk("zTXt", "k" + zero + zero + half);
  EXPECT_EQ(outcome(png_of(1, 1, two + two)), "image_too_large");
}

// A55
TEST(Image, AJpegWithTooManyScansIsRefused) {
  const File jpeg = read_golden("jpeg_progressive.jpg");
  // Repeats the last scan (its header to the end of its data).
  const File marker = {0xFF, 0xDA};
  const auto last = std::find_end(jpeg.begin(), jpeg.end(), marker.begin(), marker.end());
  File many(jpeg.begin(), last);
  for (int i = 0; i < 200; ++i) many.insert(many.end(), last, jpeg.end() - 2);
  many.insert(many.end(), jpeg.end() - 2, jpeg.end());
  EXPECT_EQ(outcome(many), "invalid_image");
}

// A58
TEST(Image, APngBehindAnotherFilesTailIsDecoded) {
  File file = read_golden("png_1x1.png");
  append(file, "<script>alert(1)</script>");
  EXPECT_EQ(outcome(file), "ok");
}

// A57
TEST(Exif, OrientationIsReadInBothByteOrders) {
  const File little = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
  const File big = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0};
  EXPECT_EQ(exif_orientation(little), 6);
  EXPECT_EQ(exif_orientation(big), 6);
  for (size_t cut = 0; cut < little.size(); ++cut) {
    EXPECT_EQ(exif_orientation(Bytes(little).first(cut)), 1) << cut;
  }
  EXPECT_EQ(exif_orientation(patched(little, 4, {0xFF, 0xFF, 0xFF, 0xFF})), 1);
  EXPECT_EQ(exif_orientation(patched(little, 18, {9})), 1);
  EXPECT_EQ(exif_orientation(patched(little, 12, {4})), 1);
  EXPECT_EQ(exif_orientation(patched(little, 8, {0xFF, 0xFF})), 6);
}

}  // namespace
}  // namespace ernie::media
