#include "media/exif.h"

#include <cstring>
#include <utility>

namespace ernie::media {
namespace {

constexpr size_t kEntryBytes = 12;
constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kTypeShort = 3;

// Reads the TIFF structure of an EXIF block; out of range reads give 0.
class TiffReader {
 public:
  TiffReader(Bytes data, bool big_endian) : data_(data), big_endian_(big_endian) {}

  uint32_t read(size_t offset, size_t bytes) const {
    if (offset > data_.size() || data_.size() - offset < bytes) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) {
      const size_t at = big_endian_ ? i : bytes - 1 - i;
      value = value << 8 | data_[offset + at];
    }
    return value;
  }

 private:
  Bytes data_;
  bool big_endian_;
};

}  // namespace

int exif_orientation(Bytes exif) {
  if (exif.size() >= 6 && std::memcmp(exif.data(), "Exif\0\0", 6) == 0) exif = exif.subspan(6);
  if (exif.size() < 8) return 1;
  const bool big_endian = exif[0] == 'M' && exif[1] == 'M';
  if (!big_endian && !(exif[0] == 'I' && exif[1] == 'I')) return 1;
  const TiffReader tiff(exif, big_endian);
  if (tiff.read(2, 2) != 42) return 1;
  const size_t directory = tiff.read(4, 4);
  const size_t entries = tiff.read(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (entry + kEntryBytes > exif.size()) break;
    if (tiff.read(entry, 2) != kOrientationTag) continue;
    const uint32_t value = tiff.read(entry + 8, 2);
    return tiff.read(entry + 2, 2) == kTypeShort && value >= 1 && value <= 8
               ? static_cast<int>(value)
               : 1;
  }
  return 1;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const int64_t w = image.width;
  const int64_t h = image.height;
  // The source pixel of output pixel (x, y) is number start + x * step_x + y * step_y.
  int64_t start = 0;
  int64_t step_x = 1;
  int64_t step_y = w;
  switch (orientation) {
    case 2:
      start = w - 1, step_x = -1, step_y = w;
      break;
    case 3:
      start = w * h - 1, step_x = -1, step_y = -w;
      break;
    case 4:
      start = w * (h - 1), step_x = 1, step_y = -w;
      break;
    case 5:
      start = 0, step_x = w, step_y = 1;
      break;
    case 6:
      start = w * (h - 1), step_x = -w, step_y = 1;
      break;
    case 7:
      start = w * h - 1, step_x = -w, step_y = -1;
      break;
    case 8:
      start = w - 1, step_x = w, step_y = -1;
      break;
  }
  Image out;
  const bool turned = orientation >= 5;
  out.width = turned ? image.height : image.width;
  out.height = turned ? image.width : image.height;
  out.rgb.resize(image.rgb.size());
  uint8_t* to = out.rgb.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x, to += 3) {
      const uint8_t* from = image.rgb.data() + 3 * (start + x * step_x + y * step_y);
      to[0] = from[0];
      to[1] = from[1];
      to[2] = from[2];
    }
  }
  return out;
}

}  // namespace ernie::media
