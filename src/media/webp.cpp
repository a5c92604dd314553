#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>

#include "media/codec.h"
#include "media/exif.h"
#include "media/webp_tables.h"

namespace ernie::media {
namespace {

using Demuxer = std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)>;

Demuxer open(Bytes bytes) {
  const WebPData data{bytes.data(), bytes.size()};
  return {WebPDemux(&data), WebPDemuxDelete};
}

Error damaged(const char* detail) { return invalid_image(ImageFormat::kWebp, detail); }

int canvas_width(const Demuxer& demuxer) {
  return static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH));
}
int canvas_height(const Demuxer& demuxer) {
  return static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT));
}

int read_orientation(const Demuxer& demuxer) {
  WebPChunkIterator chunk{};
  int orientation = 1;
  if (WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk)) {
    orientation = exif_orientation({chunk.chunk.bytes, chunk.chunk.size});
  }
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

// Decodes one frame into its place in `image`.
bool decode_frame(const WebPIterator& frame, Image& image) {
  uint8_t* place = image.rgb.data() + 3 * (size_t(frame.y_offset) * image.width + frame.x_offset);
  const size_t row_bytes = size_t{3} * image.width;
  const size_t room = image.rgb.size() - (place - image.rgb.data());
  const WebPData& data = frame.fragment;
  if (!frame.has_alpha) {
    return WebPDecodeRGBInto(data.bytes, data.size, place, room, static_cast<int>(row_bytes)) !=
           nullptr;
  }
  std::vector<uint8_t> rgba(size_t{4} * frame.width * frame.height);
  if (WebPDecodeRGBAInto(data.bytes, data.size, rgba.data(), rgba.size(), 4 * frame.width) ==
      nullptr) {
    return false;
  }
  for (int y = 0; y < frame.height; ++y) {
    flatten_over_white(&rgba[size_t{4} * frame.width * y], frame.width, place + row_bytes * y);
  }
  return true;
}

}  // namespace

Result<StoredSize> read_webp_header(Bytes bytes) {
  const Demuxer demuxer = open(bytes);
  if (!demuxer) return damaged("its chunks are incomplete or malformed");
  // Lossless pictures are decoded as ARGB first; alpha makes a copy of four channels more.
  const bool alpha = WebPDemuxGetI(demuxer.get(), WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG;
  const StoredSize size{canvas_width(demuxer), canvas_height(demuxer), read_orientation(demuxer),
                        3 + 4 + (alpha ? 5 : 0)};
  if (size.width < 1 || size.height < 1) return damaged("it has no pixels");
  return size;
}

size_t webp_table_bytes(Bytes bytes) {
  const Demuxer demuxer = open(bytes);
  WebPIterator frame{};
  size_t table_bytes = 0;
  if (demuxer && WebPDemuxGetFrame(demuxer.get(), 1, &frame)) {
    table_bytes = webp_frame_table_bytes({frame.fragment.bytes, frame.fragment.size}, frame.width,
                                         frame.height);
  }
  WebPDemuxReleaseIterator(&frame);
  return table_bytes;
}

Result<Image> decode_webp(Bytes bytes) {
  const Demuxer demuxer = open(bytes);
  if (!demuxer) return damaged("its chunks are incomplete or malformed");
  Image image{canvas_width(demuxer), canvas_height(demuxer), {}};
  // Outside the first frame of an animation the canvas is transparent; black without alpha.
  const bool alpha = WebPDemuxGetI(demuxer.get(), WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG;
  image.rgb.assign(size_t{3} * image.width * image.height, alpha ? 255 : 0);
  WebPIterator frame{};
  const bool found = WebPDemuxGetFrame(demuxer.get(), 1, &frame);
  const bool inside = found && frame.x_offset + frame.width <= image.width &&
                      frame.y_offset + frame.height <= image.height;
  const bool decoded = inside && decode_frame(frame, image);
  WebPDemuxReleaseIterator(&frame);
  if (!decoded) return damaged("its first frame cannot be decoded");
  return image;
}

}  // namespace ernie::media
