#include "video_index.h"

extern "C" {
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <array>
#include <cmath>

namespace ernie::media {
namespace {

// A display matrix maps a stored frame's axes to the shown ones; only its quarter turns and mirrors
// are taken. In the order of EXIF's orientations 1 to 8, as the signs of (a, b, c, d).
int orientation_of(const AVStream& stream) {
  const auto* matrix = reinterpret_cast<const int32_t*>(
      av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr));
  if (!matrix) return 1;
  constexpr std::array<std::array<int, 4>, 8> kTurns{{{1, 0, 0, 1},
                                                      {-1, 0, 0, 1},
                                                      {-1, 0, 0, -1},
                                                      {1, 0, 0, -1},
                                                      {0, 1, 1, 0},
                                                      {0, 1, -1, 0},
                                                      {0, -1, -1, 0},
                                                      {0, -1, 1, 0}}};
  const auto sign = [](int32_t value) { return (value > 0) - (value < 0); };
  const std::array<int, 4> found{sign(matrix[0]), sign(matrix[1]), sign(matrix[3]),
                                 sign(matrix[4])};
  const auto* turn = std::find(kTurns.begin(), kTurns.end(), found);
  return turn == kTurns.end() ? 1 : static_cast<int>(turn - kTurns.begin()) + 1;
}

double rate(AVRational value) { return value.num > 0 && value.den > 0 ? av_q2d(value) : 0; }

// The frames a decoder may keep for reference and reordering, and the one it works on.
constexpr uint64_t kKeptFrames = 18;
constexpr uint64_t kKeptIntraFrames = 2;  // where each frame stands alone
// What a decoder allocates whatever the size of the frames.
constexpr uint64_t kDecoderBytes = 48ull << 20;

uint64_t frame_bytes(const AVCodecParameters& parameters) {
  const auto format = static_cast<AVPixelFormat>(parameters.format);
  // Decoders pad to whole blocks, and their frames have edges.
  const int width = FFALIGN(parameters.width, 64) + 160;
  const int height = FFALIGN(parameters.height, 64) + 160;
  const int bytes = av_pix_fmt_desc_get(format) ? av_image_get_buffer_size(format, width, height, 1)
                                                : width * height * 4;
  return static_cast<uint64_t>(std::max(bytes, 0));
}

}  // namespace

Outcome<VideoIndex> index_video(VideoInput& input) {
  VideoIndex index;
  int64_t begin = INT64_MAX;
  int64_t end = INT64_MIN;
  uint32_t packets = 0;
  for (; const Packet packet = input.read(); ++packets) {
    // An edit list hides frames that others are decoded from.
    if ((packet->flags & AV_PKT_FLAG_DISCARD) != 0) continue;
    const int64_t pts = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    if (packet->pts == AV_NOPTS_VALUE) index.has_times = false;
    if (pts != AV_NOPTS_VALUE) {
      begin = std::min(begin, pts);
      end = std::max(end, pts + packet->duration);
    }
    index.frames.push_back({pts, packets, (packet->flags & AV_PKT_FLAG_KEY) != 0});
  }
  if (index.frames.empty()) return Fault{"invalid_video", "the video holds no frames"};
  if (index.has_times) {
    std::stable_sort(index.frames.begin(), index.frames.end(),
                     [](const auto& a, const auto& b) { return a.pts < b.pts; });
    const auto twice =
        std::adjacent_find(index.frames.begin(), index.frames.end(),
                           [](const auto& a, const auto& b) { return a.pts == b.pts; });
    index.has_times = twice == index.frames.end();
  }
  const AVRational base = input.stream().time_base;
  // In whole microseconds, as the vendor's reader passes them on.
  const auto seconds = [&](int64_t pts) {
    return std::round(static_cast<double>(pts) * base.num / base.den * 1e6) / 1e6;
  };
  if (begin < end) {
    index.fps = static_cast<double>(index.frames.size()) / (seconds(end) - seconds(begin));
  } else {
    index.fps = std::max(rate(input.stream().avg_frame_rate), rate(input.stream().r_frame_rate));
  }
  if (!(index.fps > 0) || !std::isfinite(index.fps)) {
    return Fault{"invalid_video", "the video does not say how fast it is shown"};
  }
  return index;
}

VideoFacts facts_of(const VideoInput& input, const VideoIndex& index) {
  const AVCodecParameters& parameters = *input.stream().codecpar;
  VideoFacts facts;
  facts.width = parameters.width;
  facts.height = parameters.height;
  facts.orientation = orientation_of(input.stream());
  facts.frames = static_cast<uint32_t>(index.frames.size());
  facts.fps = index.fps;
  const uint64_t shown =
      uint64_t{4} * static_cast<uint64_t>(facts.width) * static_cast<uint64_t>(facts.height);
  facts.thread_bytes = 2 * frame_bytes(parameters) + (8ull << 20);
  const AVCodecDescriptor* codec = avcodec_descriptor_get(parameters.codec_id);
  const bool is_intra = codec && (codec->props & AV_CODEC_PROP_INTRA_ONLY) != 0;
  const uint64_t kept = is_intra ? kKeptIntraFrames : kKeptFrames;
  facts.decode_bytes = kDecoderBytes + kept * frame_bytes(parameters) + shown +
                       index.frames.capacity() * sizeof(VideoIndex::Entry);
  return facts;
}

}  // namespace ernie::media
