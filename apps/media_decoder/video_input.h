#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "answer.h"
#include "ffmpeg_types.h"

namespace ernie::media {

// A video file in memory, opened by FFmpeg at its first frame. Only containers and codecs of a
// short list are tried, and nothing but the given bytes is read.
class VideoInput {
 public:
  static Outcome<std::unique_ptr<VideoInput>> open(std::span<const uint8_t> file,
                                                   const JobRequest& limits);
  ~VideoInput();
  VideoInput(const VideoInput&) = delete;
  VideoInput& operator=(const VideoInput&) = delete;

  // The video stream's next packet; null at the end, broken or not.
  Packet read();

  // From the keyframe at or before `pts` on, or from the first frame. False where the container
  // cannot.
  bool seek(int64_t pts);

  const AVStream& stream() const { return *stream_; }
  const AVCodec& codec() const { return *codec_; }

 private:
  VideoInput() = default;
  static int read_bytes(void* self, uint8_t* out, int bytes);
  static int64_t seek_bytes(void* self, int64_t offset, int whence);

  std::span<const uint8_t> file_;
  size_t at_ = 0;
  AVIOContext* io_ = nullptr;
  AVFormatContext* format_ = nullptr;
  AVStream* stream_ = nullptr;
  const AVCodec* codec_ = nullptr;
};

}  // namespace ernie::media
