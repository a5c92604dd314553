#include "video_frames.h"

extern "C" {
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "ffmpeg_types.h"
#include "media/over_white.h"

namespace ernie::media {
namespace {

Codec open_codec(const VideoInput& input, const JobRequest& request) {
  Codec codec(allocated(avcodec_alloc_context3(&input.codec())));
  if (avcodec_parameters_to_context(codec.get(), input.stream().codecpar) < 0) return nullptr;
  codec->pkt_timebase = input.stream().time_base;
  codec->thread_count = static_cast<int>(request.threads);
  codec->max_pixels = request.max_pixels;
  if (avcodec_open2(codec.get(), &input.codec(), nullptr) < 0) return nullptr;
  return codec;
}

// Whether a frame that no other one needs may be left out: where FFmpeg's decoder knows for sure.
bool can_skip(AVCodecID codec) {
  return codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_MPEG4 ||
         codec == AV_CODEC_ID_MPEG2VIDEO || codec == AV_CODEC_ID_MPEG1VIDEO;
}

// Turns frames into RGB of one size.
class Converter {
 public:
  Converter(int width, int height) : width_(width), height_(height) {}
  ~Converter() { sws_freeContext(scaler_); }
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;

  std::span<const uint8_t> rgb(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
    if (!description) return {};
    const bool has_alpha = (description->flags & AV_PIX_FMT_FLAG_ALPHA) != 0;
    scaler_ = sws_getCachedContext(scaler_, frame.width, frame.height, format, width_, height_,
                                   has_alpha ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24, SWS_BICUBIC,
                                   nullptr, nullptr, nullptr);
    if (!scaler_) return {};
    set_colours(frame);
    const size_t pixels = static_cast<size_t>(width_) * static_cast<size_t>(height_);
    const int channels = has_alpha ? 4 : 3;
    // libswscale may write some bytes past the last row.
    out_.resize(pixels * static_cast<size_t>(channels) + 64);
    const std::array<uint8_t*, 4> planes{out_.data()};
    const std::array<int, 4> strides{channels * width_};
    if (sws_scale(scaler_, frame.data, frame.linesize, 0, frame.height, planes.data(),
                  strides.data()) != height_) {
      return {};
    }
    if (has_alpha) flatten_over_white(out_.data(), pixels, out_.data());
    return {out_.data(), 3 * pixels};
  }

 private:
  void set_colours(const AVFrame& frame) {
    int* inverse = nullptr;
    int* table = nullptr;
    std::array<int, 5> rest{};  // ranges, brightness, contrast, saturation
    sws_getColorspaceDetails(scaler_, &inverse, &rest[0], &table, &rest[1], &rest[2], &rest[3],
                             &rest[4]);
    const bool full = frame.color_range == AVCOL_RANGE_JPEG || rest[0] == 1;
    sws_setColorspaceDetails(scaler_, sws_getCoefficients(frame.colorspace), full ? 1 : 0, table,
                             rest[1], rest[2], rest[3], rest[4]);
  }

  int width_;
  int height_;
  SwsContext* scaler_ = nullptr;
  std::vector<uint8_t> out_;
};

// Hands out the wanted frames of one video.
class FrameReader {
 public:
  FrameReader(std::span<const uint8_t> file, const JobRequest& request, Answer& answer)
      : file_(file), request_(request), answer_(answer) {}

  std::optional<Fault> run(std::span<const uint32_t> numbers) {
    if (auto fault = open()) return fault;
    auto index = index_video(*input_);
    if (auto* fault = std::get_if<Fault>(&index)) return *fault;
    index_ = std::get<VideoIndex>(std::move(index));
    const VideoFacts facts = facts_of(*input_, index_);
    for (const uint32_t number : numbers) {
      if (number >= facts.frames) return Fault{"invalid_video", "it has fewer frames than before"};
      is_wanted_.resize(facts.frames);
      is_wanted_[number] = true;
    }
    converter_.emplace(facts.width, facts.height);
    if (auto fault = restart()) return fault;
    for (const uint32_t number : numbers) {
      if (auto fault = send(number)) return fault;
    }
    return {};
  }

 private:
  std::optional<Fault> open() {
    auto input = VideoInput::open(file_, request_);
    if (auto* fault = std::get_if<Fault>(&input)) return *fault;
    input_ = std::get<std::unique_ptr<VideoInput>>(std::move(input));
    return {};
  }

  // Back to the first frame.
  std::optional<Fault> restart() {
    if (auto fault = open()) return fault;
    codec_ = open_codec(*input_, request_);
    if (!codec_) return Fault{"invalid_video", "the video's decoder cannot be opened"};
    packet_ = 0;
    shown_ = 0;
    has_ended_ = false;
    before_ = nullptr;
    at_ = nullptr;
    return {};
  }

  std::optional<Fault> send(uint32_t number) {
    if (may_seek_) {
      if (auto fault = seek_near(number)) return fault;
    }
    if (!advance_to(number) && has_sought_) {
      // Not every container and codec starts anew where it says so.
      may_seek_ = false;
      has_sought_ = false;
      if (auto fault = restart()) return fault;
      advance_to(number);
    }
    const AVFrame* frame = at_ && !is_past(number) ? at_.get() : before_.get();
    if (!frame) frame = at_.get();
    if (!frame) return Fault{"invalid_video", "none of the video's frames can be decoded"};
    const auto rgb = converter_->rgb(*frame);
    if (rgb.empty()) return Fault{"invalid_video", "a frame of the video cannot be converted"};
    answer_.frame(rgb);
    return {};
  }

  // Jumps to the last keyframe at or before the frame if that lies ahead.
  std::optional<Fault> seek_near(uint32_t number) {
    if (!index_.has_times) return {};
    uint32_t key = number;
    while (key > 0 && !index_.frames[key].is_key) --key;
    if (!index_.frames[key].is_key || index_.frames[key].packet <= packet_) return {};
    if (!input_->seek(index_.frames[key].pts)) return restart_without_seeking();
    avcodec_flush_buffers(codec_.get());
    packet_ = index_.frames[key].packet;
    has_sought_ = true;
    has_ended_ = false;
    before_ = nullptr;
    at_ = nullptr;
    return {};
  }

  std::optional<Fault> restart_without_seeking() {
    may_seek_ = false;
    has_sought_ = false;
    return restart();
  }

  // Decodes until the frame, or one after it, is at_. False if that very frame does not come.
  bool advance_to(uint32_t number) {
    while (!at_ || is_before(number)) {
      Frame next = decode_one();
      if (!next) return false;
      before_ = std::move(at_);
      at_ = std::move(next);
      at_number_ = shown_++;
    }
    return !is_past(number);
  }

  int64_t time_of(const AVFrame& frame) const { return frame.best_effort_timestamp; }
  bool is_before(uint32_t number) const {
    return index_.has_times ? time_of(*at_) < index_.frames[number].pts : at_number_ < number;
  }
  bool is_past(uint32_t number) const {
    return index_.has_times ? time_of(*at_) > index_.frames[number].pts : at_number_ > number;
  }

  // The next frame that is shown; null at the end. Broken packets are passed over.
  Frame decode_one() {
    Frame frame(allocated(av_frame_alloc()));
    for (;;) {
      const int got = avcodec_receive_frame(codec_.get(), frame.get());
      if (got == 0) return frame;
      if (got == AVERROR_EOF || has_ended_) return nullptr;
      const Packet packet = input_->read();
      if (!packet) {
        has_ended_ = true;
        avcodec_send_packet(codec_.get(), nullptr);
        continue;
      }
      ++packet_;
      codec_->skip_frame = may_leave_out(*packet) ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
      avcodec_send_packet(codec_.get(), packet.get());
    }
  }

  bool may_leave_out(const AVPacket& packet) const {
    if (!index_.has_times || !can_skip(codec_->codec_id)) return false;
    const auto entry =
        std::lower_bound(index_.frames.begin(), index_.frames.end(), packet.pts,
                         [](const auto& frame, int64_t pts) { return frame.pts < pts; });
    return entry != index_.frames.end() && entry->pts == packet.pts &&
           !is_wanted_[static_cast<size_t>(entry - index_.frames.begin())];
  }

  std::span<const uint8_t> file_;
  const JobRequest& request_;
  Answer& answer_;
  std::unique_ptr<VideoInput> input_;
  VideoIndex index_;
  std::vector<bool> is_wanted_;  // by number of frame
  std::optional<Converter> converter_;
  Codec codec_;
  uint32_t packet_ = 0;  // that is read next
  uint32_t shown_ = 0;   // frames since the start
  uint32_t at_number_ = 0;
  bool may_seek_ = true;
  bool has_sought_ = false;
  bool has_ended_ = false;
  Frame before_;
  Frame at_;
};

}  // namespace

std::optional<Fault> send_frames(std::span<const uint8_t> file, const JobRequest& request,
                                 std::span<const uint32_t> numbers, Answer& answer) {
  return FrameReader(file, request, answer).run(numbers);
}

}  // namespace ernie::media
