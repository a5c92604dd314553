#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "media/image_format.h"

namespace ernie::media {

// A picture in memory.
struct Image {
  int width = 0;             // pixels
  int height = 0;            // pixels
  std::vector<uint8_t> rgb;  // [height, width, 3], row-major, 8 bits a channel
};

struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0;              // pixels, as decode_image will return it (EXIF orientation applied)
  int height = 0;             // pixels
  size_t decoding_bytes = 0;  // most memory that decode_image takes at once, its result included
};

// What decode_image accepts. Everything is checked before any pixel memory is allocated.
struct DecodeLimits {
  int64_t max_pixels = 100'000'000;     // width x height
  int max_side = 65'500;                // pixels
  size_t max_bytes = 64 * 1024 * 1024;  // of the encoded file
};

// Reads the headers only and decodes no pixels. Errors as decode_image.
Result<ImageInfo> probe_image(std::span<const uint8_t> bytes, const DecodeLimits& limits = {});

// Decodes a JPEG, PNG, WebP or GIF, told apart by content only (never by name or MIME type); for
// the other formats see picture_file.h. Of an animation it takes the first frame. Pixels equal
// Pillow's: EXIF orientation is applied, alpha is composited over white, CMYK is taken as
// Adobe-inverted, 16-bit samples keep their high byte; colour profiles and gamma are ignored. A
// file cut short is an error, even where rows are left to show; what stands behind a picture is
// not. Safe to call from any number of threads.
//
// Errors, all ErrorKind::kInvalidArgument, by `code`:
//   "unsupported_media_type"  not one of the four formats
//   "image_too_large"         over a limit, or PNG metadata that inflates to over 16 MiB
//   "invalid_image"           truncated or corrupt
Result<Image> decode_image(std::span<const uint8_t> bytes, const DecodeLimits& limits = {});

}  // namespace ernie::media
