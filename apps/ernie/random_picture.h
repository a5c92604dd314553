#pragma once

#include <cstdint>
#include <string>

#include "media/image.h"

namespace ernie::app {

struct PictureSize {
  int width = 0;
  int height = 0;
};

// "640x480". Throws StartError that names `flag`; sides are 1 to 16384 pixels.
PictureSize parse_picture_size(const std::string& flag, const std::string& text);

// Coloured squares with some noise: another picture for each seed.
media::Image random_picture(PictureSize size, uint64_t seed);

// A file of about half a byte for each pixel.
std::string encode_jpeg(const media::Image& image);

}  // namespace ernie::app
