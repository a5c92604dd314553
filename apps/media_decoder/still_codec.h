#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "answer.h"
#include "media/decode_job.h"

namespace ernie::media {

struct StillHeader {
  int64_t width = 0;  // pixels as stored
  int64_t height = 0;
  int orientation = 1;
  uint64_t decode_bytes = 0;  // most memory that decoding takes
};

struct StillPixels {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3], alpha over white
};

// A format of pictures. Without its library in the build both are null.
struct StillCodec {
  // Decodes no pixels.
  Outcome<StillHeader> (*probe)(std::span<const uint8_t> file, const JobRequest& limits) = nullptr;
  // Of files only whose header is within the limits.
  Outcome<StillPixels> (*decode)(std::span<const uint8_t> file, const JobRequest& limits) = nullptr;
};

extern const StillCodec kBmpCodec;
extern const StillCodec kTiffCodec;
extern const StillCodec kAvifCodec;
extern const StillCodec kHeicCodec;

inline Fault broken_image(const char* format, const std::string& detail) {
  return {"invalid_image", std::string("the ") + format + " is broken: " + detail};
}

}  // namespace ernie::media
