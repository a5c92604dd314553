#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "media/image.h"
#include "media/over_white.h"

// What image.cpp, picture_file.cpp and the four decoders share; not for use outside this folder.
namespace ernie::media {

using Bytes = std::span<const uint8_t>;

// A picture's size as stored in the file, before its EXIF orientation is applied.
struct StoredSize {
  int width = 0;        // pixels, >= 1
  int height = 0;       // pixels, >= 1
  int orientation = 1;  // EXIF, 1 to 8
  // Most bytes for each pixel while it is decoded: the picture and what the decoder keeps beside.
  int decoding_bytes = 3;
};

// Header readers allocate no pixels. Decoders return the stored size, alpha already over white;
// they trust that the caller has held the header's size against the limits.
Result<StoredSize> read_jpeg_header(Bytes bytes);
Result<Image> decode_jpeg(Bytes bytes);
Result<StoredSize> read_png_header(Bytes bytes);
Result<Image> decode_png(Bytes bytes);
Result<StoredSize> read_gif_header(Bytes bytes);
Result<Image> decode_gif(Bytes bytes);
Result<StoredSize> read_webp_header(Bytes bytes);
Result<Image> decode_webp(Bytes bytes);
// Bytes that decoding a WebP file takes beside those of its pixels. Takes time for each pixel.
size_t webp_table_bytes(Bytes bytes);

Error invalid_image(ImageFormat format, std::string_view detail);
Error image_too_large(std::string_view detail);
Error file_too_large(size_t bytes, const DecodeLimits& limits);

}  // namespace ernie::media
