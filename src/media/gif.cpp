#include <fmt/format.h>
#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "media/codec.h"

namespace ernie::media {
namespace {

constexpr int kColors = 256;
constexpr int kNoIndex = -1;

struct GifCloser {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};

// A GIF opened and read up to the pixels of its first frame.
struct FirstFrame {
  explicit FirstFrame(Bytes bytes) : rest(bytes) {}

  Bytes rest;  // what giflib has not read yet
  std::unique_ptr<GifFileType, GifCloser> gif;
  int transparent = kNoIndex;

  const GifImageDesc& frame() const { return gif->Image; }
  // A frame that reaches past the logical screen makes the picture larger, as in Pillow.
  int width() const { return std::max(gif->SWidth, frame().Left + frame().Width); }
  int height() const { return std::max(gif->SHeight, frame().Top + frame().Height); }
};

int on_read(GifFileType* gif, GifByteType* out, int count) {
  auto* first = static_cast<FirstFrame*>(gif->UserData);
  const size_t n = std::min<size_t>(count, first->rest.size());
  if (n > 0) std::memcpy(out, first->rest.data(), n);
  first->rest = first->rest.subspan(n);
  return static_cast<int>(n);
}

Error gif_error(int code) {
  const char* text = GifErrorString(code);
  return invalid_image(ImageFormat::kGif, text != nullptr ? text : "the file ends too early");
}

Status read_extension(FirstFrame& first) {
  int code = 0;
  GifByteType* block = nullptr;  // [length, bytes...]
  if (DGifGetExtension(first.gif.get(), &code, &block) == GIF_ERROR) {
    return gif_error(first.gif->Error);
  }
  while (block != nullptr) {
    GraphicsControlBlock control;
    if (code == GRAPHICS_EXT_FUNC_CODE &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
      first.transparent = control.TransparentColor;
    }
    if (DGifGetExtensionNext(first.gif.get(), &block) == GIF_ERROR) {
      return gif_error(first.gif->Error);
    }
  }
  return {};
}

Status open_first_frame(FirstFrame& first) {
  int error = 0;
  first.gif.reset(DGifOpen(&first, on_read, &error));
  if (!first.gif) return gif_error(error);
  while (true) {
    GifRecordType type;
    if (DGifGetRecordType(first.gif.get(), &type) == GIF_ERROR) {
      return gif_error(first.gif->Error);
    }
    if (type == EXTENSION_RECORD_TYPE) {
      if (Status read = read_extension(first); !read) return read;
    } else if (type == IMAGE_DESC_RECORD_TYPE) {
      break;
    } else {
      return invalid_image(ImageFormat::kGif, "it holds no frame");
    }
  }
  if (DGifGetImageDesc(first.gif.get()) == GIF_ERROR) return gif_error(first.gif->Error);
  if (first.frame().Width < 1 || first.frame().Height < 1) {
    return invalid_image(ImageFormat::kGif, fmt::format("a frame of {}x{}", first.frame().Width,
                                                        first.frame().Height));
  }
  return {};
}

// RGB of every index: the frame's own colours, else the file's, else greys. Indices past the end
// of a colour table are grey too, as in Pillow.
std::vector<uint8_t> palette(const FirstFrame& first) {
  std::vector<uint8_t> rgb(3 * kColors);
  for (int i = 0; i < kColors; ++i) std::fill_n(rgb.begin() + 3 * i, 3, i);
  const ColorMapObject* colors =
      first.frame().ColorMap != nullptr ? first.frame().ColorMap : first.gif->SColorMap;
  for (int i = 0; colors != nullptr && i < std::min(colors->ColorCount, kColors); ++i) {
    rgb[3 * i] = colors->Colors[i].Red;
    rgb[3 * i + 1] = colors->Colors[i].Green;
    rgb[3 * i + 2] = colors->Colors[i].Blue;
  }
  if (first.transparent != kNoIndex) std::fill_n(rgb.begin() + 3 * first.transparent, 3, 255);
  return rgb;
}

// The order in which an interlaced frame stores its rows: every 8th from 0, every 8th from 4,
// every 4th from 2, every 2nd from 1.
std::vector<int> row_order(int height, bool interlaced) {
  std::vector<int> order;
  order.reserve(height);
  const int passes[][2] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  if (interlaced) {
    for (const auto& [start, step] : passes) {
      for (int y = start; y < height; y += step) order.push_back(y);
    }
  } else {
    for (int y = 0; y < height; ++y) order.push_back(y);
  }
  return order;
}

}  // namespace

Result<StoredSize> read_gif_header(Bytes bytes) {
  FirstFrame first(bytes);
  if (const Status opened = open_first_frame(first); !opened) return opened.error();
  return StoredSize{first.width(), first.height()};
}

Result<Image> decode_gif(Bytes bytes) {
  FirstFrame first(bytes);
  if (const Status opened = open_first_frame(first); !opened) return opened.error();
  const std::vector<uint8_t> colors = palette(first);
  const GifImageDesc& frame = first.frame();
  Image image{first.width(), first.height(), {}};
  image.rgb.resize(size_t{3} * image.width * image.height);
  // Outside the first frame Pillow shows the transparent colour if there is one, else colour 0.
  const uint8_t* outside = &colors[3 * std::max(first.transparent, 0)];
  for (size_t i = 0; i < image.rgb.size(); i += 3) std::copy_n(outside, 3, &image.rgb[i]);
  std::vector<GifByteType> indices(frame.Width);
  for (const int y : row_order(frame.Height, frame.Interlace)) {
    if (DGifGetLine(first.gif.get(), indices.data(), frame.Width) == GIF_ERROR) {
      return gif_error(first.gif->Error);
    }
    uint8_t* out = &image.rgb[3 * (size_t(frame.Top + y) * image.width + frame.Left)];
    for (const GifByteType index : indices) {
      std::copy_n(&colors[3 * index], 3, out);
      out += 3;
    }
  }
  return image;
}

}  // namespace ernie::media
