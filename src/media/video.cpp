#include "media/video.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "media/codec.h"
#include "media/exif.h"

namespace ernie::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMaxFaultBytes = 4096;
constexpr const char* kDecoderEnded = "decoder_ended";
constexpr int kLookMs = 50;  // between looks at whether the request was cancelled

}  // namespace

bool is_video_file(std::span<const uint8_t> file) {
  const auto picture = sniff_image(file);
  return !picture || *picture == ImageFormat::kGif || *picture == ImageFormat::kWebp;
}

VideoFile::VideoFile(std::span<const uint8_t> file, MediaDecoder& decoder,
                     const VideoLimits& limits)
    : file_(file),
      decoder_(&decoder),
      limits_(limits),
      time_left_(milliseconds(limits.timeout_ms)) {
  const auto format = sniff_image(file);
  is_picture_ = format && needs_media_decoder(*format);
}

Result<VideoFile> VideoFile::open(std::span<const uint8_t> file, MediaDecoder& decoder,
                                  const VideoLimits& limits, const std::atomic<bool>& cancelled) {
  VideoFile video(file, decoder, limits);
  if (file.empty()) return video.refused("the file is empty");
  if (auto s = video.probe(cancelled); !s) return s.error();
  return video;
}

Status VideoFile::probe(const std::atomic<bool>& cancelled) {
  if (auto s = send(JobKind::kProbe, limits_.open_bytes, {}, cancelled); !s) return s;
  VideoFacts facts;
  auto header = read_header(PartKind::kInfo, sizeof(facts), cancelled);
  if (!header) return header.error();
  if (auto s = read(&facts, sizeof(facts), cancelled); !s) return s;
  if (auto s = set_info(facts); !s) return s;
  answer_.reset(-1);
  return {};
}

Status VideoFile::set_info(const VideoFacts& facts) {
  // The decoder may have been taken over by the file: nothing that it says is trusted.
  constexpr double kLeastFps = 1e-6;
  constexpr double kMostFps = 1e6;
  constexpr uint64_t kMostBytes = uint64_t{1} << 40;
  const bool sane = facts.width >= 1 && facts.height >= 1 && facts.frames >= 1 &&
                    facts.fps >= kLeastFps && facts.fps <= kMostFps &&
                    facts.decode_bytes <= kMostBytes && facts.thread_bytes <= kMostBytes / 64 &&
                    facts.orientation >= 1 && facts.orientation <= 8 &&
                    std::max(facts.width, facts.height) <= limits_.frame.max_side &&
                    int64_t{facts.width} * facts.height <= limits_.frame.max_pixels;
  if (!sane) return refused("what it says of its frames makes no sense");
  stored_width_ = facts.width;
  stored_height_ = facts.height;
  orientation_ = facts.orientation;
  info_.width = orientation_ >= 5 ? facts.height : facts.width;
  info_.height = orientation_ >= 5 ? facts.width : facts.height;
  info_.frames = facts.frames;
  info_.fps = facts.fps;
  const size_t pixels = static_cast<size_t>(facts.width) * static_cast<size_t>(facts.height);
  info_.decoding_bytes = file_.size() + facts.decode_bytes +
                         static_cast<size_t>(limits_.threads) * facts.thread_bytes +
                         (orientation_ > 1 ? 6 : 3) * pixels;
  return {};
}

Status VideoFile::start(std::span<const uint32_t> numbers, const std::atomic<bool>& cancelled) {
  if (numbers.empty() || numbers.size() > kMaxJobFrames) {
    return refused("from 1 to " + std::to_string(kMaxJobFrames) + " frames can be taken of it");
  }
  return send(JobKind::kFrames, info_.decoding_bytes, numbers, cancelled);
}

Status VideoFile::send(JobKind kind, size_t memory_bytes, std::span<const uint32_t> numbers,
                       const std::atomic<bool>& cancelled) {
  const JobRequest job{
      .kind = kind,
      .threads = static_cast<uint32_t>(limits_.threads),
      .cpu_seconds = static_cast<uint32_t>(limits_.threads * (limits_.timeout_ms / 1000 + 1)),
      .memory_bytes = memory_bytes,
      .max_pixels = limits_.frame.max_pixels,
      .max_side = limits_.frame.max_side};
  Status begun = begin(job, numbers, cancelled);
  if (!begun && begun.error().code == kDecoderEnded) begun = begin(job, numbers, cancelled);
  return begun;
}

// An answer that ends before the job has begun was ended by somebody, and not by the file.
Status VideoFile::begin(const JobRequest& job, std::span<const uint32_t> numbers,
                        const std::atomic<bool>& cancelled) {
  auto started = decoder_->start(job, numbers, file_);
  if (!started) return started.error();
  answer_ = std::move(started->answer);
  begun_ = false;
  PartHeader header;
  if (auto s = read(&header, sizeof(header), cancelled); !s) {
    if (s.error().code == kDecoderEnded) decoder_->replace(started->program);
    return s;
  }
  begun_ = true;
  return {};
}

Result<Image> VideoFile::next(const std::atomic<bool>& cancelled) {
  Image image{.width = stored_width_, .height = stored_height_};
  const size_t bytes = 3 * static_cast<size_t>(stored_width_) * static_cast<size_t>(stored_height_);
  if (auto header = read_header(PartKind::kFrame, bytes, cancelled); !header) {
    return header.error();
  }
  image.rgb.resize(bytes);
  if (auto s = read(image.rgb.data(), bytes, cancelled); !s) return s.error();
  return apply_orientation(std::move(image), orientation_);
}

Result<PartHeader> VideoFile::read_header(PartKind expected, size_t bytes,
                                          const std::atomic<bool>& cancelled) {
  PartHeader header;
  if (auto s = read(&header, sizeof(header), cancelled); !s) return s.error();
  if (header.kind == PartKind::kError && header.bytes <= kMaxFaultBytes) {
    return read_fault(header.bytes, cancelled);
  }
  if (header.kind != expected || header.bytes != bytes) return cut_short();
  return header;
}

Error VideoFile::read_fault(size_t bytes, const std::atomic<bool>& cancelled) {
  std::string text(bytes, ' ');
  if (auto s = read(text.data(), bytes, cancelled); !s) return s.error();
  const size_t end = text.find('\0');
  if (end == std::string::npos) return cut_short();
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return refused(text.substr(end + 1), text.substr(0, end));
}

Status VideoFile::read(void* data, size_t bytes, const std::atomic<bool>& cancelled) {
  auto* out = static_cast<uint8_t*>(data);
  while (bytes > 0) {
    if (cancelled) return request_cancelled();
    if (time_left_ <= milliseconds(0)) {
      answer_.reset(-1);
      return refused("decoding it takes longer than the " +
                         std::to_string(limits_.timeout_ms / 1000) +
                         " seconds that are allowed; send a shorter or smaller one",
                     kind() + "_decode_timeout");
    }
    const auto began = steady_clock::now();
    pollfd ready{answer_.get(), POLLIN, 0};
    const int found = poll(&ready, 1, kLookMs);
    if (found > 0) {
      const ssize_t got = ::read(answer_.get(), out, bytes);
      if (got == 0 || (got < 0 && errno != EINTR)) return cut_short();
      if (got > 0) {
        out += got;
        bytes -= static_cast<size_t>(got);
      }
    }
    time_left_ -= steady_clock::now() - began;
  }
  return {};
}

std::string VideoFile::kind() const { return is_picture_ ? "image" : "video"; }

Error VideoFile::refused(const std::string& message, std::string code) const {
  if (code.empty()) code = "invalid_" + kind();
  return invalid_argument("the " + kind() + " cannot be used: " + message, {}, std::move(code));
}

Error VideoFile::cut_short() const {
  if (!begun_) {
    return {ErrorKind::kUnavailable, "the decoder of media ended; try again", {}, kDecoderEnded};
  }
  log::warn("a decoder of ernie-media-decoder ended over a file of {} bytes", file_.size());
  return refused("its decoder ended over it; the file is broken or needs too much memory or time");
}

}  // namespace ernie::media
