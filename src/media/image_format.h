#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ernie::media {

enum class ImageFormat { kJpeg, kPng, kWebp, kGif, kBmp, kTiff, kAvif, kHeic };

constexpr const char* image_format_name(ImageFormat format) {
  constexpr std::array kNames{"JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"};
  return kNames[static_cast<size_t>(format)];
}

// Whether only the program ernie-media-decoder opens such files.
constexpr bool needs_media_decoder(ImageFormat format) { return format >= ImageFormat::kBmp; }

inline bool has_text(std::span<const uint8_t> file, std::string_view text, size_t at) {
  return file.size() >= at + text.size() &&
         std::equal(text.begin(), text.end(), file.begin() + static_cast<ptrdiff_t>(at),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

// Whether a file that is no picture begins as MP4 and MOV, Matroska and WebM, AVI, MPEG-TS or
// MPEG-PS do.
inline bool begins_like_video(std::span<const uint8_t> file) {
  using std::string_view_literals::operator""sv;
  constexpr size_t kTsPacket = 188;
  return has_text(file, "ftyp", 4) || has_text(file, "moov", 4) || has_text(file, "mdat", 4) ||
         has_text(file, "\x1A\x45\xDF\xA3", 0) ||
         (has_text(file, "RIFF", 0) && has_text(file, "AVI ", 8)) ||
         (has_text(file, "G", 0) && has_text(file, "G", kTsPacket)) ||
         has_text(file, "\0\0\1\xBA"sv, 0);
}

// Tells a picture's format by how the file begins; nothing where it is none of them.
inline std::optional<ImageFormat> sniff_image(std::span<const uint8_t> file) {
  using std::string_view_literals::operator""sv;
  const auto has = [&](std::string_view text, size_t at = 0) { return has_text(file, text, at); };
  const auto has_brand = [&](std::string_view brand, size_t from, size_t to) {
    for (size_t at = from; at < to; at += 4) {
      if (has(brand, at)) return true;
    }
    return false;
  };
  if (has("\xFF\xD8\xFF")) return ImageFormat::kJpeg;
  if (has("\x89PNG\r\n\x1A\n")) return ImageFormat::kPng;
  if (has("GIF87a") || has("GIF89a")) return ImageFormat::kGif;
  if (has("RIFF") && has("WEBP", 8)) return ImageFormat::kWebp;
  // A bitmap's second header begins with its size, which is less than 256.
  if (has("BM") && has("\0\0\0"sv, 15)) return ImageFormat::kBmp;
  for (const auto magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (has(magic)) return ImageFormat::kTiff;
  }
  if (!has("ftyp", 4)) return std::nullopt;
  constexpr size_t kMajor = 8;
  if (has("avif", kMajor) || has("avis", kMajor)) return ImageFormat::kAvif;
  for (const auto brand : {"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"}) {
    if (has(brand, kMajor)) return ImageFormat::kHeic;
  }
  if (!has("mif1", kMajor) && !has("msf1", kMajor)) return std::nullopt;
  return has_brand("avif", 16, std::min<size_t>(file[3], file.size())) ? ImageFormat::kAvif
                                                                       : ImageFormat::kHeic;
}

}  // namespace ernie::media
