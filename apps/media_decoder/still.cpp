#include "still.h"

#include <string>

#include "still_codec.h"

namespace ernie::media {
namespace {

const StillCodec& codec_of(ImageFormat format) {
  switch (format) {
    case ImageFormat::kTiff:
      return kTiffCodec;
    case ImageFormat::kAvif:
      return kAvifCodec;
    case ImageFormat::kHeic:
      return kHeicCodec;
    default:
      return kBmpCodec;
  }
}

Outcome<StillHeader> read_header(ImageFormat format, std::span<const uint8_t> file,
                                 const JobRequest& limits) {
  const StillCodec& codec = codec_of(format);
  const std::string name = image_format_name(format);
  if (!codec.probe) {
    return Fault{"unsupported_media_type", "this server was built without the library for " + name +
                                               "; send the picture as JPEG or PNG"};
  }
  auto outcome = codec.probe(file, limits);
  const auto* header = std::get_if<StillHeader>(&outcome);
  if (!header) return outcome;
  if (header->width < 1 || header->height < 1) {
    return broken_image(name.c_str(), "it does not say how large it is");
  }
  if (auto fault = check_size("image_too_large", header->width, header->height, limits)) {
    return *fault;
  }
  return outcome;
}

}  // namespace

std::optional<Fault> probe_still(ImageFormat format, std::span<const uint8_t> file,
                                 const JobRequest& limits, Answer& answer) {
  const auto outcome = read_header(format, file, limits);
  if (const auto* fault = std::get_if<Fault>(&outcome)) return *fault;
  const auto& header = std::get<StillHeader>(outcome);
  VideoFacts facts;
  facts.width = static_cast<int32_t>(header.width);
  facts.height = static_cast<int32_t>(header.height);
  facts.orientation = header.orientation >= 1 && header.orientation <= 8 ? header.orientation : 1;
  facts.frames = 1;
  facts.fps = 1;
  facts.decode_bytes = header.decode_bytes;
  answer.info(facts);
  return {};
}

std::optional<Fault> send_still(ImageFormat format, std::span<const uint8_t> file,
                                const JobRequest& limits, Answer& answer) {
  const auto header = read_header(format, file, limits);
  if (const auto* fault = std::get_if<Fault>(&header)) return *fault;
  const auto [width, height, orientation, decode_bytes] = std::get<StillHeader>(header);
  const auto outcome = codec_of(format).decode(file, limits);
  if (const auto* fault = std::get_if<Fault>(&outcome)) return *fault;
  const auto& pixels = std::get<StillPixels>(outcome);
  if (pixels.width != width || pixels.height != height) {
    return broken_image(image_format_name(format), "its pixels are not as many as its header says");
  }
  answer.frame(pixels.rgb);
  return {};
}

}  // namespace ernie::media
