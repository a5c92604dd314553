#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "media/file_descriptor.h"
#include "media/image.h"
#include "media/media_decoder.h"

namespace ernie::media {

// Memory that opening a video may take.
constexpr size_t kVideoOpenBytes = size_t{96} << 20;

struct VideoLimits {
  DecodeLimits frame;       // pixels and sides of a frame
  int timeout_ms = 60'000;  // for the whole file, waiting for the decoder only
  int threads = 2;          // of a decoder
  size_t open_bytes = kVideoOpenBytes;
};

struct VideoInfo {
  int width = 0;              // pixels, upright
  int height = 0;             // pixels, upright
  uint32_t frames = 0;        // >= 1
  double fps = 0;             // > 0, frames / seconds from the first one to the end of the last
  size_t decoding_bytes = 0;  // most memory that the decoder, with its copy of the file, and one
                              // frame take at once
};

// A file that is no picture, or may be an animated one.
bool is_video_file(std::span<const uint8_t> file);

// A video file. Frames are numbered in the order in which they are shown. All parsing and decoding
// is done by MediaDecoder, for which a picture is a video of one frame. Not thread-safe.
//
// Errors, ErrorKind::kInvalidArgument unless noted, by `code`; of pictures "image" in place of
// "video":
//   "unsupported_media_type"  no container or codec that is known, or no decoder in this build
//   "invalid_video"           broken, or no frames in it
//   "video_too_large"         frames over a limit, or more memory than the limit
//   "video_decode_timeout"    not decoded within timeout_ms
//   "decoder_ended"           kUnavailable: somebody ended the program of MediaDecoder
//   "cancelled"               kUnavailable: `cancelled` became true; found within about 50 ms
class VideoFile {
 public:
  // Reads what the file says of itself. That takes up to open_bytes and a copy of the file, for
  // which the caller accounts. The file outlives this.
  static Result<VideoFile> open(std::span<const uint8_t> file, MediaDecoder& decoder,
                                const VideoLimits& limits, const std::atomic<bool>& cancelled);

  const VideoInfo& info() const { return info_; }

  // Begins to decode the frames with these numbers (rising), which next() then returns in turn,
  // upright. Frames that are broken are replaced by their neighbours.
  Status start(std::span<const uint32_t> numbers, const std::atomic<bool>& cancelled);
  Result<Image> next(const std::atomic<bool>& cancelled);

 private:
  VideoFile(std::span<const uint8_t> file, MediaDecoder& decoder, const VideoLimits& limits);

  Status probe(const std::atomic<bool>& cancelled);
  Status send(JobKind kind, size_t memory_bytes, std::span<const uint32_t> numbers,
              const std::atomic<bool>& cancelled);
  Status begin(const JobRequest& job, std::span<const uint32_t> numbers,
               const std::atomic<bool>& cancelled);
  Result<PartHeader> read_header(PartKind expected, size_t bytes,
                                 const std::atomic<bool>& cancelled);
  Status read(void* data, size_t bytes, const std::atomic<bool>& cancelled);
  Error read_fault(size_t bytes, const std::atomic<bool>& cancelled);
  Status set_info(const VideoFacts& facts);
  std::string kind() const;
  Error refused(const std::string& message, std::string code = {}) const;
  Error cut_short() const;

  std::span<const uint8_t> file_;
  MediaDecoder* decoder_;
  VideoLimits limits_;
  std::chrono::steady_clock::duration time_left_;
  bool is_picture_ = false;
  FileDescriptor answer_;
  bool begun_ = false;  // the job whose answer that is
  VideoInfo info_;
  int stored_width_ = 0;
  int stored_height_ = 0;
  int orientation_ = 1;
};

}  // namespace ernie::media
