#include "random_picture.h"

#include <fmt/format.h>
#include <jpeglib.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/result.h"

namespace ernie::app {
namespace {

constexpr int kMaxSide = 16384;
constexpr int kSquare = 16;  // pixels
constexpr int kQuality = 85;

}  // namespace

PictureSize parse_picture_size(const std::string& flag, const std::string& text) {
  PictureSize size;
  int end = 0;
  if (std::sscanf(text.c_str(), "%5dx%5d%n", &size.width, &size.height, &end) != 2 ||
      static_cast<size_t>(end) != text.size() || size.width < 1 || size.height < 1 ||
      size.width > kMaxSide || size.height > kMaxSide)
    throw StartError(fmt::format("{} is {}; it must be WIDTHxHEIGHT, as 640x480, each 1 to {}",
                                 flag, text, kMaxSide));
  return size;
}

media::Image random_picture(PictureSize size, uint64_t seed) {
  media::Image image{size.width, size.height, {}};
  image.rgb.reserve(size_t{3} * size.width * size.height);
  std::mt19937_64 random(seed);
  std::vector<uint64_t> colors;
  for (int y = 0; y < size.height; ++y) {
    if (y % kSquare == 0) {
      colors.clear();
      for (int x = 0; x < size.width; x += kSquare) colors.push_back(random());
    }
    uint64_t noise = 0;
    for (int x = 0; x < size.width; ++x) {
      if (x % kSquare == 0) noise = random();
      const uint64_t color = colors[static_cast<size_t>(x / kSquare)];
      const uint64_t shade = noise >> (x % kSquare * 4) & 15;
      for (int channel = 0; channel < 3; ++channel)
        image.rgb.push_back(static_cast<uint8_t>((color >> (8 * channel) & 0xe0) + shade));
    }
  }
  return image;
}

std::string encode_jpeg(const media::Image& image) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* data = nullptr;
  unsigned long bytes = 0;  // NOLINT(google-runtime-int): libjpeg's type
  jpeg_mem_dest(&jpeg, &data, &bytes);
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, kQuality, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    auto* row =
        const_cast<uint8_t*>(image.rgb.data()) + size_t{3} * jpeg.next_scanline * jpeg.image_width;
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string file(reinterpret_cast<const char*>(data), bytes);
  std::free(data);
  return file;
}

}  // namespace ernie::app
