#include <algorithm>
#include <cmath>
#include <string>

#include "model/processor.h"

namespace ernie::model {
namespace {

constexpr int kMaxRatio = 200;

// Nearest multiple, half to even as Python's round().
int64_t round_to(double value, int factor) {
  const double quotient = value / factor;
  const double lower = std::floor(quotient);
  const double rest = quotient - lower;
  double rounded = lower;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(lower, 2.0) != 0.0)) rounded += 1.0;
  return static_cast<int64_t>(rounded) * factor;
}
int64_t floor_to(double value, int factor) {
  return static_cast<int64_t>(std::floor(value / factor)) * factor;
}
int64_t ceil_to(double value, int factor) {
  return static_cast<int64_t>(std::ceil(value / factor)) * factor;
}

}  // namespace

int max_media_tokens(const ModelConfig& config, const ProcessorOptions& options) {
  if (!config.vision) return 0;
  const int64_t side = int64_t{config.vision->patch_size} * config.vision->spatial_merge;
  const int64_t pixels = std::max(options.image_max_pixels, options.video_max_pixels);
  return static_cast<int>(std::max<int64_t>(pixels / (side * side), 1));
}

Result<ResizedSize> smart_resize(int height, int width, int factor, int64_t min_pixels,
                                 int64_t max_pixels) {
  if (height < 1 || width < 1) {
    return invalid_argument("image: expected a width and height of at least 1 pixel, found " +
                            std::to_string(width) + " x " + std::to_string(height));
  }
  int64_t h = height;
  int64_t w = width;
  if (std::max(h, w) > kMaxRatio * std::min(h, w)) {
    int64_t& shorter = h < w ? h : w;
    int64_t& longer = h < w ? w : h;
    shorter = std::max<int64_t>(factor, round_to(static_cast<double>(shorter), factor));
    longer = floor_to(static_cast<double>(shorter * kMaxRatio), factor);
  }
  int64_t out_h = std::max<int64_t>(factor, round_to(static_cast<double>(h), factor));
  int64_t out_w = std::max<int64_t>(factor, round_to(static_cast<double>(w), factor));
  const auto area = static_cast<double>(h * w);
  if (out_h * out_w > max_pixels) {
    const double beta = std::sqrt(area / static_cast<double>(max_pixels));
    out_h = floor_to(static_cast<double>(h) / beta, factor);
    out_w = floor_to(static_cast<double>(w) / beta, factor);
  } else if (out_h * out_w < min_pixels) {
    const double beta = std::sqrt(static_cast<double>(min_pixels) / area);
    out_h = ceil_to(static_cast<double>(h) * beta, factor);
    out_w = ceil_to(static_cast<double>(w) * beta, factor);
  }
  if (out_h * out_w < min_pixels || out_h * out_w > max_pixels) {
    return invalid_argument("image: no size of " + std::to_string(min_pixels) + " to " +
                            std::to_string(max_pixels) + " pixels in steps of " +
                            std::to_string(factor) + " keeps the shape of " +
                            std::to_string(width) + " x " + std::to_string(height) +
                            "; send a picture that is less long and thin");
  }
  return ResizedSize{static_cast<int>(out_h), static_cast<int>(out_w)};
}

}  // namespace ernie::model
