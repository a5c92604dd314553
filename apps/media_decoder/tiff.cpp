#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "media/over_white.h"
#include "still_codec.h"

namespace ernie::media {
namespace {

struct ByTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using Tiff = std::unique_ptr<TIFF, ByTiff>;

// The file for libtiff.
struct Source {
  std::span<const uint8_t> file;
  uint64_t at = 0;

  static tmsize_t read(thandle_t handle, void* out, tmsize_t bytes) {
    auto& self = *static_cast<Source*>(handle);
    const uint64_t left = self.file.size() - std::min<uint64_t>(self.at, self.file.size());
    const size_t count =
        std::min<uint64_t>(left, static_cast<uint64_t>(std::max<tmsize_t>(bytes, 0)));
    if (count > 0) std::memcpy(out, self.file.data() + self.at, count);
    self.at += count;
    return static_cast<tmsize_t>(count);
  }
  static tmsize_t write(thandle_t, void*, tmsize_t) { return -1; }
  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    auto& self = *static_cast<Source*>(handle);
    if (whence == SEEK_CUR) offset += self.at;
    if (whence == SEEK_END) offset += self.file.size();
    return self.at = offset;
  }
  static int close(thandle_t) { return 0; }
  static toff_t size(thandle_t handle) { return static_cast<Source*>(handle)->file.size(); }
  static int map(thandle_t handle, void** base, toff_t* bytes) {
    const auto& self = *static_cast<Source*>(handle);
    *base = const_cast<uint8_t*>(self.file.data());  // libtiff only reads it
    *bytes = self.file.size();
    return 1;
  }
  static void unmap(thandle_t, void*, toff_t) {}
};

enum class Fourth { kAlpha, kPremultiplied, kIgnored, kBlack };

// The first page of a file, as libtiff's RGBA reader shall see it to give Pillow's pixels.
class Page {
 public:
  explicit Page(std::span<const uint8_t> file) : source_{file} {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
    tiff_.reset(TIFFClientOpen("", "r", &source_, Source::read, Source::write, Source::seek,
                               Source::close, Source::size, Source::map, Source::unmap));
    if (!tiff_) return;
    choose_fourth();
    shorten_palette();
  }

  TIFF* tiff() const { return tiff_.get(); }
  Fault broken() const { return broken_image("TIFF", problem_); }  // without tiff()
  Fourth fourth() const { return fourth_; }

 private:
  void choose_fourth() {
    uint16_t count = 0;
    uint16_t* kinds = nullptr;
    // Where the file does not say what its samples are, libtiff's defaults do not count.
    TIFFGetField(tiff_.get(), TIFFTAG_EXTRASAMPLES, &count, &kinds);
    if (count > 0 && kinds[0] == EXTRASAMPLE_UNSPECIFIED) fourth_ = Fourth::kIgnored;
    if (count > 0 && kinds[0] == EXTRASAMPLE_ASSOCALPHA) fourth_ = Fourth::kPremultiplied;
    uint16_t photometric = 0;
    uint16_t samples = 0;
    uint16_t inks = 0;
    TIFFGetField(tiff_.get(), TIFFTAG_PHOTOMETRIC, &photometric);
    TIFFGetFieldDefaulted(tiff_.get(), TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff_.get(), TIFFTAG_INKSET, &inks);
    if (count > 0 || samples != 4) return;
    if (photometric == PHOTOMETRIC_SEPARATED && inks == INKSET_CMYK) {
      // libtiff's own conversion rounds otherwise and knows no 16 bits: let the samples pass as
      // RGBA.
      fourth_ = Fourth::kBlack;
      TIFFSetField(tiff_.get(), TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
    } else if (photometric != PHOTOMETRIC_RGB) {
      return;
    }
    const uint16_t plain = EXTRASAMPLE_UNASSALPHA;
    TIFFSetField(tiff_.get(), TIFFTAG_EXTRASAMPLES, 1, &plain);
  }

  // Pillow takes the high byte of a palette's colours, libtiff divides them by 257.
  void shorten_palette() {
    uint16_t bits = 0;
    uint16_t photometric = 0;
    std::array<uint16_t*, 3> colours{};
    TIFFGetFieldDefaulted(tiff_.get(), TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetField(tiff_.get(), TIFFTAG_PHOTOMETRIC, &photometric);
    if (photometric != PHOTOMETRIC_PALETTE || bits > 8) return;
    if (!TIFFGetField(tiff_.get(), TIFFTAG_COLORMAP, &colours[0], &colours[1], &colours[2])) {
      // libtiff would show the numbers of the colours as grey.
      problem_ = "its palette is missing";
      tiff_.reset();
      return;
    }
    for (uint16_t* channel : colours) {
      std::for_each(channel, channel + (1 << bits), [](uint16_t& value) { value >>= 8; });
    }
  }

  Source source_;
  Tiff tiff_;
  Fourth fourth_ = Fourth::kAlpha;
  const char* problem_ = "its header cannot be read; is the file cut short?";
};

uint16_t number_of(TIFF* tiff, uint32_t tag) {
  uint16_t value = 0;
  TIFFGetFieldDefaulted(tiff, tag, &value);
  return value;
}

Fault unreadable_pixels() {
  return broken_image("TIFF", "its pixels cannot be read; is the file cut short?");
}

Fault unsupported(TIFF* tiff) {
  return {"unsupported_media_type",
          "TIFFs of " + std::to_string(number_of(tiff, TIFFTAG_BITSPERSAMPLE)) +
              " bits a sample, sample format " +
              std::to_string(number_of(tiff, TIFFTAG_SAMPLEFORMAT)) + ", compression " +
              std::to_string(number_of(tiff, TIFFTAG_COMPRESSION)) + " and colour space " +
              std::to_string(number_of(tiff, TIFFTAG_PHOTOMETRIC)) +
              " (as TIFF numbers them) are not decoded; send 8 or 16 bits a sample, grey or RGB"};
}

// Memory of the largest piece that is decoded at once.
uint64_t piece_bytes(TIFF* tiff) {
  uint16_t planes = 0;
  uint16_t samples = 0;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planes);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  const uint64_t bytes = TIFFIsTiled(tiff) ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
  return bytes * (planes == PLANARCONFIG_SEPARATE ? std::min<uint64_t>(samples, 4) : 1);
}

Outcome<StillHeader> probe(std::span<const uint8_t> file, const JobRequest&) {
  const Page page(file);
  if (!page.tiff()) return page.broken();
  uint32_t width = 0;
  uint32_t height = 0;
  uint16_t orientation = 1;
  TIFFGetField(page.tiff(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(page.tiff(), TIFFTAG_IMAGELENGTH, &height);
  TIFFGetFieldDefaulted(page.tiff(), TIFFTAG_ORIENTATION, &orientation);
  std::array<char, 1024> reason{};
  if (!TIFFRGBAImageOK(page.tiff(), reason.data())) {
    return unsupported(page.tiff());
  }
  constexpr uint64_t kMostBytes = uint64_t{1} << 40;
  const uint64_t piece = piece_bytes(page.tiff());
  if (piece > kMostBytes) return Fault{"image_too_large", "its strips or tiles are too large"};
  // Beside the pixels a piece, what a codec keeps of one, and codecs' tables.
  return StillHeader{width, height, orientation, (16ull << 20) + 4ull * width * height + 3 * piece};
}

// Pillow's way back from samples that were multiplied by their alpha.
uint8_t divided(uint8_t value, uint8_t alpha) {
  return alpha == 0 ? 0 : static_cast<uint8_t>(std::min(value * 255 / alpha, 255));
}

void to_rgb(std::vector<uint8_t>& pixels, Fourth fourth) {
  const size_t count = pixels.size() / 4;
  for (uint8_t* p = pixels.data(); p != pixels.data() + 4 * count; p += 4) {
    const uint8_t last = p[3];
    for (int c = 0; c < 3; ++c) {
      if (fourth == Fourth::kPremultiplied) p[c] = divided(p[c], last);
      if (fourth == Fourth::kBlack) p[c] = under_ink(p[c], 255u - last);
    }
    if (fourth == Fourth::kIgnored || fourth == Fourth::kBlack) p[3] = 255;
  }
  flatten_over_white(pixels.data(), count, pixels.data());
  pixels.resize(3 * count);
}

Outcome<StillPixels> decode(std::span<const uint8_t> file, const JobRequest&) {
  const Page page(file);
  TIFFRGBAImage image;
  std::array<char, 1024> reason{};
  if (!page.tiff()) return page.broken();
  if (!TIFFRGBAImageBegin(&image, page.tiff(), /*stop_on_error=*/1, reason.data())) {
    return unreadable_pixels();
  }
  const std::unique_ptr<TIFFRGBAImage, decltype(&TIFFRGBAImageEnd)> ended(&image, TIFFRGBAImageEnd);
  image.req_orientation = image.orientation;
  // Its tables are for other arithmetic: here samples keep their high byte and stay without alpha.
  for (size_t i = 0; image.Bitdepth16To8 && i < 65'536; ++i) {
    image.Bitdepth16To8[i] = static_cast<uint8_t>(i >> 8);
  }
  for (size_t i = 0; image.UaToAa && i < 65'536; ++i) image.UaToAa[i] = static_cast<uint8_t>(i);
  StillPixels pixels{image.width, image.height, {}};
  pixels.rgb.resize(size_t{4} * image.width * image.height);
  // libtiff packs pixels into words whose lowest byte is red.
  auto* words = reinterpret_cast<uint32_t*>(pixels.rgb.data());
  if (!TIFFRGBAImageGet(&image, words, image.width, image.height)) {
    return unreadable_pixels();
  }
  to_rgb(pixels.rgb, page.fourth());
  return pixels;
}

}  // namespace

const StillCodec kTiffCodec{probe, decode};

}  // namespace ernie::media
