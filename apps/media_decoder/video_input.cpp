#include "video_input.h"

extern "C" {
#include <libavutil/avstring.h>
}

#include <algorithm>
#include <cstring>
#include <string>

#include "media/image_format.h"

namespace ernie::media {
namespace {

constexpr const char* kContainers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,gif";
constexpr const char* kCodecs =
    "h264,hevc,vp8,vp9,libdav1d,av1,mpeg4,mpeg2video,mpeg1video,mjpeg,gif";

struct Options {
  AVDictionary* entries = nullptr;
  Options() = default;
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  ~Options() { av_dict_free(&entries); }
  void set(const char* key, const std::string& value) {
    av_dict_set(&entries, key, value.c_str(), 0);
  }
};

Fault unreadable(int error, std::span<const uint8_t> file) {
  if (error == AVERROR(ENOMEM)) {
    return {"video_too_large", "reading the video takes more memory than is allowed"};
  }
  if (begins_like_video(file) || sniff_image(file) == ImageFormat::kGif) {
    return {"invalid_video",
            "the file is broken or cut short: what it holds cannot be found (many MP4 files have "
            "their index at the end)"};
  }
  return {"unsupported_media_type",
          "the file is no video that can be read; known are MP4, MOV, WebM, MKV, AVI, MPEG-TS, "
          "animated GIF and WebP"};
}

}  // namespace

Outcome<std::unique_ptr<VideoInput>> VideoInput::open(std::span<const uint8_t> file,
                                                      const JobRequest& limits) {
  std::unique_ptr<VideoInput> input(new VideoInput);
  input->file_ = file;
  constexpr int kBuffer = 64 << 10;
  auto* buffer = static_cast<uint8_t*>(allocated(av_malloc(kBuffer)));
  input->io_ = allocated(
      avio_alloc_context(buffer, kBuffer, 0, input.get(), read_bytes, nullptr, seek_bytes));
  input->format_ = allocated(avformat_alloc_context());
  input->format_->pb = input->io_;

  Options options;
  options.set("format_whitelist", kContainers);
  options.set("codec_whitelist", kCodecs);
  options.set("protocol_whitelist", "none");
  options.set("enable_drefs", "0");
  if (const int error = avformat_open_input(&input->format_, nullptr, nullptr, &options.entries);
      error < 0) {
    return unreadable(error, file);
  }
  for (unsigned i = 0; i < input->format_->nb_streams; ++i) {
    AVStream& stream = *input->format_->streams[i];
    const bool is_video = stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
    if (!is_video) stream.discard = AVDISCARD_ALL;
  }
  if (const int error = avformat_find_stream_info(input->format_, nullptr); error < 0) {
    return unreadable(error, file);
  }
  const int best = av_find_best_stream(input->format_, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (best < 0 || (input->format_->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
    return Fault{"invalid_video", "the file holds no video"};
  }
  for (unsigned i = 0; i < input->format_->nb_streams; ++i) {
    if (static_cast<int>(i) != best) input->format_->streams[i]->discard = AVDISCARD_ALL;
  }
  input->stream_ = input->format_->streams[best];
  const AVCodecParameters& parameters = *input->stream_->codecpar;
  if (parameters.codec_id == AV_CODEC_ID_NONE) {
    return Fault{"invalid_video",
                 "the video's codec cannot be told: it is not known, or the file is broken or cut "
                 "short"};
  }
  input->codec_ = avcodec_find_decoder(parameters.codec_id);
  if (!input->codec_ || !av_match_name(input->codec_->name, kCodecs)) {
    return Fault{"unsupported_media_type",
                 std::string("videos of the codec ") + avcodec_get_name(parameters.codec_id) +
                     " are not decoded; known are H.264, HEVC, VP8, VP9, AV1, MPEG-1, MPEG-2, "
                     "MPEG-4, MJPEG and GIF"};
  }
  if (parameters.width <= 0 || parameters.height <= 0) {
    return Fault{"invalid_video", "the video does not say how large its frames are"};
  }
  if (auto fault = check_size("video_too_large", parameters.width, parameters.height, limits)) {
    return *fault;
  }
  return input;
}

VideoInput::~VideoInput() {
  avformat_close_input(&format_);
  if (io_) av_freep(&io_->buffer);
  avio_context_free(&io_);
}

Packet VideoInput::read() {
  Packet packet(allocated(av_packet_alloc()));
  while (av_read_frame(format_, packet.get()) >= 0) {
    if (packet->stream_index == stream_->index) return packet;
    av_packet_unref(packet.get());
  }
  return nullptr;
}

bool VideoInput::seek(int64_t pts) {
  return av_seek_frame(format_, stream_->index, pts, AVSEEK_FLAG_BACKWARD) >= 0;
}

int VideoInput::read_bytes(void* self, uint8_t* out, int bytes) {
  auto& input = *static_cast<VideoInput*>(self);
  const size_t count = std::min(static_cast<size_t>(bytes), input.file_.size() - input.at_);
  if (count == 0) return AVERROR_EOF;
  std::memcpy(out, input.file_.data() + input.at_, count);
  input.at_ += count;
  return static_cast<int>(count);
}

int64_t VideoInput::seek_bytes(void* self, int64_t offset, int whence) {
  auto& input = *static_cast<VideoInput*>(self);
  const auto size = static_cast<int64_t>(input.file_.size());
  int64_t from = 0;
  if ((whence & AVSEEK_SIZE) != 0) return size;
  if ((whence & 3) == SEEK_CUR) from = static_cast<int64_t>(input.at_);
  if ((whence & 3) == SEEK_END) from = size;
  if (offset < -from || offset > size - from) return AVERROR(EINVAL);
  input.at_ = static_cast<size_t>(from + offset);
  return from + offset;
}

}  // namespace ernie::media
