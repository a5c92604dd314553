#include "animated_webp.h"

#include <webp/demux.h>

#include <algorithm>
#include <memory>

#include "media/over_white.h"

namespace ernie::media {
namespace {

struct ByDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
struct ByDecoder {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};

const Fault kBroken{"invalid_video", "the animated WebP is broken"};

}  // namespace

std::optional<Fault> probe_webp(std::span<const uint8_t> file, const JobRequest& limits,
                                Answer& answer) {
  const WebPData data{file.data(), file.size()};
  const std::unique_ptr<WebPDemuxer, ByDemuxer> demuxer(WebPDemux(&data));
  if (!demuxer) return kBroken;
  VideoFacts facts;
  facts.width = static_cast<int32_t>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH));
  facts.height = static_cast<int32_t>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT));
  facts.frames = WebPDemuxGetI(demuxer.get(), WEBP_FF_FRAME_COUNT);
  if (auto fault = check_size("video_too_large", facts.width, facts.height, limits)) return fault;
  int64_t milliseconds = 0;
  WebPIterator frame;
  if (!WebPDemuxGetFrame(demuxer.get(), 1, &frame)) return kBroken;
  do {
    milliseconds += std::max(frame.duration, 0);
  } while (WebPDemuxNextFrame(&frame));
  WebPDemuxReleaseIterator(&frame);
  // Shown one after the other without saying for how long: as fast as browsers do, 10 a second.
  facts.fps = milliseconds > 0 ? facts.frames * 1000.0 / static_cast<double>(milliseconds) : 10;
  // Two canvases, a decoded frame and the Huffman tables of one.
  facts.decode_bytes = (64ull << 20) + 16ull * static_cast<uint64_t>(facts.width) *
                                           static_cast<uint64_t>(facts.height);
  answer.info(facts);
  return {};
}

std::optional<Fault> send_webp_frames(std::span<const uint8_t> file,
                                      std::span<const uint32_t> numbers, Answer& answer) {
  const WebPData data{file.data(), file.size()};
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  options.color_mode = MODE_RGBA;
  const std::unique_ptr<WebPAnimDecoder, ByDecoder> decoder(WebPAnimDecoderNew(&data, &options));
  WebPAnimInfo info;
  if (!decoder || !WebPAnimDecoderGetInfo(decoder.get(), &info)) return kBroken;
  const size_t pixels = size_t{info.canvas_width} * info.canvas_height;
  std::unique_ptr<uint8_t[]> rgb(new uint8_t[3 * pixels]);
  uint32_t next = 0;
  bool has_frame = false;
  for (const uint32_t number : numbers) {
    for (; next <= number; ++next) {
      uint8_t* rgba = nullptr;
      int end_ms = 0;
      if (!WebPAnimDecoderGetNext(decoder.get(), &rgba, &end_ms)) break;
      flatten_over_white(rgba, pixels, rgb.get());
      has_frame = true;
    }
    if (!has_frame) return kBroken;
    answer.frame({rgb.get(), 3 * pixels});
  }
  return {};
}

}  // namespace ernie::media
