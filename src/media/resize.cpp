#include "media/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "media/resize_kernel.h"

namespace ernie::media {
namespace {

constexpr double kSupport = 2.0;  // of the cubic, in output-scaled pixels

// The lanes that share weights are, in the horizontal pass, the 3 channels of kBlockRows rows,
// turned so that a column's bytes are contiguous; in the vertical one, neighbouring bytes of a row.
constexpr int kBlockRows = kLanes / 3;

// Keys' cubic convolution (IEEE ASSP 29, 1981) with a = -0.5; the order of operations is Pillow's.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

class Axis {
 public:
  Axis(int in_size, int out_size) {
    const double scale = static_cast<double>(in_size) / out_size;
    const double filter_scale = std::max(scale, 1.0);
    const double support = kSupport * filter_scale;
    const double step = 1.0 / filter_scale;
    const size_t most = static_cast<size_t>(std::ceil(support)) * 2 + 1;
    weights_.resize(most * out_size);
    windows_.resize(out_size);
    std::vector<double> exact(most);
    for (int i = 0; i < out_size; ++i) {
      const double center = (i + 0.5) * scale;
      const int first = std::max(static_cast<int>(center - support + 0.5), 0);
      const int end = std::min(static_cast<int>(center + support + 0.5), in_size);
      double sum = 0.0;
      for (int j = first; j < end; ++j) {
        exact[j - first] = cubic((j - center + 0.5) * step);
        sum += exact[j - first];
      }
      int32_t* fixed = &weights_[most * i];
      for (int j = 0; j < end - first; ++j) {
        const double weight = (sum != 0.0 ? exact[j] / sum : exact[j]) * (1 << kPrecisionBits);
        fixed[j] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
      }
      windows_[i] = {first, end - first, fixed};
    }
  }
  Axis(const Axis&) = delete;  // windows_ points into weights_
  Axis& operator=(const Axis&) = delete;

  const Window& operator[](int i) const { return windows_[i]; }

 private:
  std::vector<int32_t> weights_;
  std::vector<Window> windows_;
};

// Rows of bytes padded to whole groups of kLanes.
struct PaddedRows {
  PaddedRows(int width, int height)
      : stride((size_t{3} * width + kLanes - 1) / kLanes * kLanes), bytes(stride * height) {}
  uint8_t* row(int y) { return bytes.data() + stride * y; }

  size_t stride;  // bytes
  std::vector<uint8_t> bytes;
};

PaddedRows resize_rows(const Image& image, int width) {
  PaddedRows out(width, image.height);
  const size_t in_stride = size_t{3} * image.width;
  if (width == image.width) {
    for (int y = 0; y < image.height; ++y) {
      std::memcpy(out.row(y), image.rgb.data() + in_stride * y, in_stride);
    }
    return out;
  }
  const Axis axis(image.width, width);
  const Weigh weigh = best_weigh();
  std::vector<uint8_t> turned(size_t{kLanes} * image.width);  // [column, row of block, channel]
  uint8_t column[kLanes];
  for (int top = 0; top < image.height; top += kBlockRows) {
    const int rows = std::min(kBlockRows, image.height - top);
    for (int r = 0; r < rows; ++r) {
      const uint8_t* in = image.rgb.data() + in_stride * (top + r);
      uint8_t* to = turned.data() + 3 * r;
      for (int x = 0; x < image.width; ++x, in += 3, to += kLanes) {
        to[0] = in[0];
        to[1] = in[1];
        to[2] = in[2];
      }
    }
    for (int x = 0; x < width; ++x) {
      weigh(axis[x], turned.data() + size_t{kLanes} * axis[x].first, kLanes, column);
      for (int r = 0; r < rows; ++r) std::memcpy(out.row(top + r) + 3 * x, column + 3 * r, 3);
    }
  }
  return out;
}

Image resize_columns(PaddedRows rows, int width, int in_height, int height) {
  Image out{width, height, {}};
  const size_t out_stride = size_t{3} * width;
  out.rgb.resize(out_stride * height);
  const Axis axis(in_height, height);
  const Weigh weigh = best_weigh();
  uint8_t group[kLanes];
  for (int y = 0; y < height; ++y) {
    uint8_t* to = out.rgb.data() + out_stride * y;
    if (height == in_height) {
      std::memcpy(to, rows.row(y), out_stride);
      continue;
    }
    const uint8_t* from = rows.row(axis[y].first);
    for (size_t at = 0; at < out_stride; at += kLanes) {
      weigh(axis[y], from + at, rows.stride, group);
      std::memcpy(to + at, group, std::min<size_t>(kLanes, out_stride - at));
    }
  }
  return out;
}

}  // namespace

Image resize_bicubic(const Image& image, int width, int height) {
  CHECK(width >= 1 && height >= 1 && image.width >= 1 && image.height >= 1,
        fmt::format("cannot resize {}x{} to {}x{}", image.width, image.height, width, height));
  if (width == image.width && height == image.height) return image;
  return resize_columns(resize_rows(image, width), width, image.height, height);
}

}  // namespace ernie::media
