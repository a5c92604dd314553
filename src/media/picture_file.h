#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/request_memory.h"
#include "base/result.h"
#include "media/fetch.h"
#include "media/image.h"
#include "media/media_decoder.h"
#include "media/video.h"

namespace ernie::media {

// A picture of any format (image_format.h) whose header has been read. JPEG, PNG, WebP and GIF are
// decoded here, the others by MediaDecoder. What image.h says of pixels and errors holds for all;
// of the decoder's formats also:
//   "unsupported_media_type"  a kind of it that is not decoded, or no decoder in this build
//   "image_decode_timeout"    not decoded within a minute
//   "cancelled"               kUnavailable: `cancelled` became true; found within about 50 ms
// Pixels equal Pillow's, of HEIC within 1 of 255 (of 10 bits within 2). Not thread-safe.
class PictureFile {
 public:
  // Waits for room in `memory` where a decoder is needed.
  static Result<PictureFile> open(FetchedMedia file, MediaDecoder& decoder,
                                  const DecodeLimits& limits, const RequestMemory& memory,
                                  const std::atomic<bool>& cancelled);

  int width() const { return width_; }    // pixels, upright
  int height() const { return height_; }  // pixels, upright
  // Most memory that decode() takes at once, its result included, the file not.
  size_t decoding_bytes() const { return decoding_bytes_; }

  Result<Image> decode(const std::atomic<bool>& cancelled);

 private:
  PictureFile(FetchedMedia file, const DecodeLimits& limits)
      : file_(std::move(file)), limits_(limits) {}

  FetchedMedia file_;
  DecodeLimits limits_;
  std::optional<VideoFile> still_;  // of file_, where a decoder is needed
  int width_ = 0;
  int height_ = 0;
  size_t decoding_bytes_ = 0;
};

}  // namespace ernie::media
