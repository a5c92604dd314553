#include <libheif/heif.h>

#include <memory>
#include <utility>

#include "media/over_white.h"
#include "still_codec.h"

namespace ernie::media {
namespace {

template <auto kRelease>
struct By {
  template <typename T>
  void operator()(T* object) const {
    kRelease(object);
  }
};
using Context = std::unique_ptr<heif_context, By<heif_context_free>>;
using Handle = std::unique_ptr<heif_image_handle, By<heif_image_handle_release>>;
using Picture = std::unique_ptr<heif_image, By<heif_image_release>>;
using Options = std::unique_ptr<heif_decoding_options, By<heif_decoding_options_free>>;

Fault broken(const heif_error& error) {
  std::string message = error.message;
  while (message.ends_with('\n')) message.pop_back();
  if (error.subcode == heif_suberror_Security_limit_exceeded) return {"image_too_large", message};
  return broken_image("HEIC", message);
}

struct Opened {
  Context context;
  Handle handle;
};

Outcome<Opened> open(std::span<const uint8_t> file, const JobRequest& limits) {
  Opened opened{Context(heif_context_alloc()), nullptr};
  heif_context* context = opened.context.get();
  heif_context_set_maximum_image_size_limit(context, limits.max_side);
  heif_context_set_max_decoding_threads(context, 0);
  auto error =
      heif_context_read_from_memory_without_copy(context, file.data(), file.size(), nullptr);
  heif_image_handle* handle = nullptr;
  if (error.code == heif_error_Ok) error = heif_context_get_primary_image_handle(context, &handle);
  if (error.code != heif_error_Ok) return broken(error);
  opened.handle.reset(handle);
  return opened;
}

// libheif turns and crops the picture itself.
Outcome<StillHeader> probe(std::span<const uint8_t> file, const JobRequest& limits) {
  const auto opened = open(file, limits);
  if (const auto* fault = std::get_if<Fault>(&opened)) return *fault;
  const auto* handle = std::get<Opened>(opened).handle.get();
  StillHeader header{heif_image_handle_get_width(handle), heif_image_handle_get_height(handle), 1,
                     0};
  header.decode_bytes = (48ull << 20) + 20 * static_cast<uint64_t>(header.width * header.height);
  return header;
}

Outcome<StillPixels> decode(std::span<const uint8_t> file, const JobRequest& limits) {
  const auto opened = open(file, limits);
  if (const auto* fault = std::get_if<Fault>(&opened)) return *fault;
  const Options options(heif_decoding_options_alloc());
  options->convert_hdr_to_8bit = 1;
  heif_image* image = nullptr;
  const auto error =
      heif_decode_image(std::get<Opened>(opened).handle.get(), &image, heif_colorspace_RGB,
                        heif_chroma_interleaved_RGBA, options.get());
  if (error.code != heif_error_Ok) return broken(error);
  const Picture picture(image);
  int stride = 0;
  const uint8_t* rgba = heif_image_get_plane_readonly(image, heif_channel_interleaved, &stride);
  StillPixels pixels{heif_image_get_primary_width(image), heif_image_get_primary_height(image), {}};
  if (!rgba || pixels.width < 1 || pixels.height < 1)
    return broken_image("HEIC", "it has no pixels");
  const auto width = static_cast<size_t>(pixels.width);
  const auto height = static_cast<size_t>(pixels.height);
  pixels.rgb.resize(3 * width * height);
  for (size_t y = 0; y < height; ++y) {
    flatten_over_white(rgba + y * static_cast<size_t>(stride), width,
                       pixels.rgb.data() + 3 * width * y);
  }
  return pixels;
}

}  // namespace

const StillCodec kHeicCodec{probe, decode};

}  // namespace ernie::media
