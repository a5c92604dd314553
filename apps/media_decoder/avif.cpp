#include <avif/avif.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "media/over_white.h"
#include "still_codec.h"

namespace ernie::media {
namespace {

struct ByDecoder {
  void operator()(avifDecoder* decoder) const { avifDecoderDestroy(decoder); }
};
using Decoder = std::unique_ptr<avifDecoder, ByDecoder>;

Fault broken(avifResult why) { return broken_image("AVIF", avifResultToString(why)); }

Outcome<Decoder> open(std::span<const uint8_t> file) {
  Decoder decoder(avifDecoderCreate());
  decoder->maxThreads = 1;
  decoder->ignoreExif = decoder->ignoreXMP = AVIF_TRUE;
  // As Pillow: files of older writers lack properties.
  decoder->strictFlags &=
      ~static_cast<avifStrictFlags>(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED);
  avifResult result = avifDecoderSetIOMemory(decoder.get(), file.data(), file.size());
  if (result == AVIF_RESULT_OK) result = avifDecoderParse(decoder.get());
  if (result == AVIF_RESULT_OK) return decoder;
  // libavif's limit, which cannot be raised, has no code of its own.
  if (std::string_view(decoder->diag.error).find("dimensions are too large") !=
      std::string_view::npos) {
    return Fault{"image_too_large",
                 "it has more than " + std::to_string(AVIF_DEFAULT_IMAGE_SIZE_LIMIT) +
                     " pixels or " + std::to_string(AVIF_DEFAULT_IMAGE_DIMENSION_LIMIT) +
                     " a side, which no AVIF may have here"};
  }
  return broken(result);
}

// EXIF's number for a turn to the left by quarters, then a mirror.
int orientation_of(const avifImage& image) {
  const bool turns = (image.transformFlags & AVIF_TRANSFORM_IROT) != 0;
  const bool mirrors = (image.transformFlags & AVIF_TRANSFORM_IMIR) != 0;
  constexpr uint8_t kTurned[] = {1, 8, 3, 6};
  constexpr uint8_t kTopToBottom[] = {4, 5, 2, 7};
  constexpr uint8_t kLeftToRight[] = {2, 7, 4, 5};
  const int quarters = turns ? image.irot.angle & 3 : 0;
  if (!mirrors) return kTurned[quarters];
  return image.imir.mode == 0 ? kTopToBottom[quarters] : kLeftToRight[quarters];
}

Outcome<StillHeader> probe(std::span<const uint8_t> file, const JobRequest&) {
  const auto opened = open(file);
  if (const auto* fault = std::get_if<Fault>(&opened)) return *fault;
  const avifImage& image = *std::get<Decoder>(opened)->image;
  const uint64_t pixels = uint64_t{image.width} * image.height;
  return StillHeader{image.width, image.height, orientation_of(image), (32ull << 20) + 16 * pixels};
}

Outcome<StillPixels> decode(std::span<const uint8_t> file, const JobRequest&) {
  const auto opened = open(file);
  if (const auto* fault = std::get_if<Fault>(&opened)) return *fault;
  avifDecoder& decoder = *std::get<Decoder>(opened);
  if (const avifResult result = avifDecoderNextImage(&decoder); result != AVIF_RESULT_OK) {
    return broken(result);
  }
  const avifImage& image = *decoder.image;
  const size_t count = size_t{image.width} * image.height;
  StillPixels pixels{image.width, image.height, {}};
  pixels.rgb.resize(4 * count);
  avifRGBImage rgba;
  avifRGBImageSetDefaults(&rgba, &image);
  rgba.depth = 8;
  rgba.format = AVIF_RGB_FORMAT_RGBA;
  rgba.pixels = pixels.rgb.data();
  rgba.rowBytes = 4 * image.width;
  if (const avifResult result = avifImageYUVToRGB(&image, &rgba); result != AVIF_RESULT_OK) {
    return broken(result);
  }
  flatten_over_white(pixels.rgb.data(), count, pixels.rgb.data());
  pixels.rgb.resize(3 * count);
  return pixels;
}

}  // namespace

const StillCodec kAvifCodec{probe, decode};

}  // namespace ernie::media
