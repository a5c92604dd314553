#include "media/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "media/codec.h"
#include "media/exif.h"

namespace ernie::media {
namespace {

constexpr size_t kShortestFile = 12;  // below this not every format can be told

Result<ImageFormat> sniff(Bytes bytes) {
  if (bytes.size() < kShortestFile) {
    return invalid_argument(
        fmt::format("expected an image file, found {} bytes; send the whole file", bytes.size()),
        {}, "invalid_image");
  }
  const auto format = sniff_image(bytes);
  if (format && !needs_media_decoder(*format)) return *format;
  if (begins_like_video(bytes)) {
    return invalid_argument(
        "expected a picture, found a video file; send it as {\"type\": \"video_url\", "
        "\"video_url\": "
        "{\"url\": ...}}",
        {}, "unsupported_media_type");
  }
  return invalid_argument(
      "expected a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC image, found data that begins like "
      "none of them; convert the file to one of these formats",
      {}, "unsupported_media_type");
}

Result<StoredSize> read_header(ImageFormat format, Bytes bytes) {
  switch (format) {
    case ImageFormat::kJpeg:
      return read_jpeg_header(bytes);
    case ImageFormat::kPng:
      return read_png_header(bytes);
    case ImageFormat::kWebp:
      return read_webp_header(bytes);
    case ImageFormat::kGif:
      return read_gif_header(bytes);
    default:
      return internal_error("image format without a header reader");
  }
}

Result<Image> decode(ImageFormat format, Bytes bytes) {
  switch (format) {
    case ImageFormat::kJpeg:
      return decode_jpeg(bytes);
    case ImageFormat::kPng:
      return decode_png(bytes);
    case ImageFormat::kWebp:
      return decode_webp(bytes);
    case ImageFormat::kGif:
      return decode_gif(bytes);
    default:
      return internal_error("image format without a decoder");
  }
}

Status check_limits(const StoredSize& size, const DecodeLimits& limits) {
  if (std::max(size.width, size.height) > limits.max_side) {
    return image_too_large(fmt::format("{}x{} pixels, the limit is {} pixels a side", size.width,
                                       size.height, limits.max_side));
  }
  const int64_t pixels = int64_t{size.width} * size.height;
  if (pixels > limits.max_pixels) {
    return image_too_large(fmt::format("{}x{} = {} pixels, the limit is {} pixels", size.width,
                                       size.height, pixels, limits.max_pixels));
  }
  return {};
}

struct Header {
  ImageFormat format;
  StoredSize size;
};

Result<Header> check_header(Bytes bytes, const DecodeLimits& limits) {
  if (bytes.size() > limits.max_bytes) return file_too_large(bytes.size(), limits);
  const Result<ImageFormat> format = sniff(bytes);
  if (!format) return format.error();
  const Result<StoredSize> size = read_header(*format, bytes);
  if (!size) return size.error();
  if (const Status fits = check_limits(*size, limits); !fits) return fits.error();
  return Header{*format, *size};
}

}  // namespace

Error invalid_image(ImageFormat format, std::string_view detail) {
  return invalid_argument(fmt::format("expected a complete {} image, found a damaged one: {}",
                                      image_format_name(format), detail),
                          {}, "invalid_image");
}

Error image_too_large(std::string_view detail) {
  return invalid_argument(fmt::format("the image is too large: {}; send a smaller one", detail), {},
                          "image_too_large");
}

Error file_too_large(size_t bytes, const DecodeLimits& limits) {
  return image_too_large(
      fmt::format("its file has {} bytes, the limit is {} bytes", bytes, limits.max_bytes));
}

Result<ImageInfo> probe_image(Bytes bytes, const DecodeLimits& limits) {
  const Result<Header> header = check_header(bytes, limits);
  if (!header) return header.error();
  const StoredSize& size = header->size;
  const bool turned = size.orientation >= 5;
  const size_t pixels = size_t(size.width) * size.height;
  const int of_turning = size.orientation > 1 ? 3 : 0;
  const size_t of_tables = header->format == ImageFormat::kWebp ? webp_table_bytes(bytes) : 0;
  return ImageInfo{header->format, turned ? size.height : size.width,
                   turned ? size.width : size.height,
                   pixels * static_cast<size_t>(size.decoding_bytes + of_turning) + of_tables};
}

Result<Image> decode_image(Bytes bytes, const DecodeLimits& limits) {
  const Result<Header> header = check_header(bytes, limits);
  if (!header) return header.error();
  Result<Image> image = decode(header->format, bytes);
  if (!image) return image.error();
  return apply_orientation(*std::move(image), header->size.orientation);
}

}  // namespace ernie::media
