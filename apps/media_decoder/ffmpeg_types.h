#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
}

#include <memory>
#include <new>

namespace ernie::media {

struct ByPacket {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct ByFrame {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct ByCodec {
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};
using Packet = std::unique_ptr<AVPacket, ByPacket>;
using Frame = std::unique_ptr<AVFrame, ByFrame>;
using Codec = std::unique_ptr<AVCodecContext, ByCodec>;

// What FFmpeg has allocated; std::bad_alloc if it has not.
template <typename T>
T* allocated(T* object) {
  if (!object) throw std::bad_alloc();
  return object;
}

}  // namespace ernie::media
