extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "ffmpeg_types.h"
#include "media/over_white.h"
#include "still_codec.h"

namespace ernie::media {
namespace {

constexpr uint32_t kOldHeaderBytes = 12;
// Values of "compression".
constexpr uint32_t kPlain = 0;
constexpr uint32_t kMasks = 3;

template <typename T>
T read(std::span<const uint8_t> file, size_t at) {
  T value = 0;
  if (file.size() >= at + sizeof(T)) std::memcpy(&value, file.data() + at, sizeof(T));
  return value;
}

Outcome<StillHeader> probe(std::span<const uint8_t> file, const JobRequest&) {
  StillHeader header;
  if (read<uint32_t>(file, 14) == kOldHeaderBytes) {
    header.width = read<uint16_t>(file, 18);
    header.height = read<uint16_t>(file, 20);
  } else {
    header.width = read<int32_t>(file, 18);
    header.height = std::llabs(read<int32_t>(file, 22));  // negative: from top to bottom
  }
  // The file once more, at most four bytes a pixel as decoded and three as answered.
  header.decode_bytes =
      (8ull << 20) + file.size() +
      8 * static_cast<uint64_t>(header.width) * static_cast<uint64_t>(header.height);
  return header;
}

// Bytes of the file up to the end of its pixels and of the padding behind them.
struct Extent {
  uint64_t pixels = 0;
  uint64_t padded = 0;
};

Extent extent_of(std::span<const uint8_t> file, const StillHeader& header) {
  const bool is_old = read<uint32_t>(file, 14) == kOldHeaderBytes;
  const auto compression = is_old ? kPlain : read<uint32_t>(file, 30);
  const uint64_t begin = read<uint32_t>(file, 10);
  if (compression != kPlain && compression != kMasks) {
    const uint64_t end = begin + read<uint32_t>(file, 34);
    return {end, end};
  }
  const uint64_t row_bits =
      static_cast<uint64_t>(header.width) * read<uint16_t>(file, is_old ? 24 : 28);
  const uint64_t row = (row_bits + 31) / 32 * 4;
  const uint64_t end = begin + row * static_cast<uint64_t>(header.height);
  return {end - row + (row_bits + 7) / 8, end};
}

// Of less than `bytes` FFmpeg would take rows of another length.
Frame decode_frame(std::span<const uint8_t> file, size_t bytes) {
  const Codec codec(allocated(avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_BMP))));
  const Packet packet(allocated(av_packet_alloc()));
  Frame frame(allocated(av_frame_alloc()));
  if (av_new_packet(packet.get(), static_cast<int>(bytes)) < 0) return nullptr;
  codec->thread_count = 1;
  std::memset(packet->data, 0, bytes);
  std::memcpy(packet->data, file.data(), file.size());
  if (avcodec_open2(codec.get(), nullptr, nullptr) < 0 ||
      avcodec_send_packet(codec.get(), packet.get()) < 0 ||
      avcodec_receive_frame(codec.get(), frame.get()) < 0) {
    return nullptr;
  }
  return frame;
}

// Reads rows of any of the decoder's pixel formats as RGBA.
class RowReader {
 public:
  RowReader(const AVFrame& frame, const AVPixFmtDescriptor& format, bool has_alpha)
      : frame_(frame),
        format_(format),
        has_palette_((format.flags & AV_PIX_FMT_FLAG_PAL) != 0),
        has_alpha_(has_alpha && !has_palette_ && (format.flags & AV_PIX_FMT_FLAG_ALPHA) != 0),
        samples_(static_cast<size_t>(frame.width)) {}

  void read(int y, uint8_t* rgba) {
    const bool is_grey = format_.nb_components == 1 && !has_palette_;
    for (int c = 0; c < 3; ++c) read_channel(y, is_grey ? 0 : c, rgba + c);
    if (has_alpha_) read_channel(y, 3, rgba + 3);
  }

 private:
  void read_channel(int y, int channel, uint8_t* out) {
    const int component = has_palette_ ? 0 : channel;
    std::array<const uint8_t*, 4> planes{frame_.data[0], frame_.data[1], frame_.data[2],
                                         frame_.data[3]};
    av_read_image_line2(samples_.data(), planes.data(), frame_.linesize, &format_, 0, y, component,
                        frame_.width, /*read_pal_component=*/0, sizeof(samples_[0]));
    const int top = (1 << format_.comp[component].depth) - 1;
    for (const uint16_t sample : samples_) {
      // The bytes of a palette's colours are blue, green, red, alpha.
      *out = has_palette_ ? frame_.data[1][4 * sample + 2 - channel]
                          : static_cast<uint8_t>(sample * 255 / top);
      out += 4;
    }
  }

  const AVFrame& frame_;
  const AVPixFmtDescriptor& format_;
  bool has_palette_;
  bool has_alpha_;
  std::vector<uint16_t> samples_;
};

Outcome<StillPixels> decode(std::span<const uint8_t> file, const JobRequest& limits) {
  const auto header = probe(file, limits);
  const Extent extent = extent_of(file, std::get<StillHeader>(header));
  if (extent.pixels > file.size()) return broken_image("BMP", "it is cut short");
  const Frame frame = decode_frame(file, std::max<size_t>(file.size(), extent.padded));
  const auto* format =
      frame ? av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame->format)) : nullptr;
  if (!format) return broken_image("BMP", "it cannot be decoded");
  // Only a bitmap that says where its bits of alpha are has any.
  const bool has_alpha = read<uint32_t>(file, 30) != kPlain;
  StillPixels pixels{frame->width, frame->height, {}};
  const auto width = static_cast<size_t>(frame->width);
  pixels.rgb.resize(3 * width * static_cast<size_t>(frame->height));
  RowReader reader(*frame, *format, has_alpha);
  std::vector<uint8_t> rgba(4 * width, 255);
  for (int y = 0; y < frame->height; ++y) {
    reader.read(y, rgba.data());
    flatten_over_white(rgba.data(), width, pixels.rgb.data() + 3 * width * static_cast<size_t>(y));
  }
  return pixels;
}

}  // namespace

const StillCodec kBmpCodec{probe, decode};

}  // namespace ernie::media
