#pragma once

#include <cstddef>
#include <cstdint>

namespace ernie::media {

// value / 255, rounded as Pillow does, for values up to 255 * 255.
inline uint8_t divided_by_255(unsigned value) {
  const unsigned t = value + 128;
  return static_cast<uint8_t>((t + (t >> 8)) >> 8);
}

// What an ink leaves of the light that the black ink has left, both 0 to 255, as Pillow's CMYK.
inline uint8_t under_ink(unsigned ink, unsigned light) {
  return static_cast<uint8_t>(light - divided_by_255(ink * light));
}

// One channel of a pixel with opacity `alpha` over white, rounded as Pillow's paste with a mask.
inline uint8_t over_white(uint8_t value, uint8_t alpha) {
  return divided_by_255(value * alpha + 255u * (255u - alpha));
}

// Turns `count` RGBA pixels into RGB over white. `rgb` may be the same memory as `rgba`.
inline void flatten_over_white(const uint8_t* rgba, size_t count, uint8_t* rgb) {
  for (size_t i = 0; i < count; ++i, rgba += 4, rgb += 3) {
    const uint8_t alpha = rgba[3];
    rgb[0] = over_white(rgba[0], alpha);
    rgb[1] = over_white(rgba[1], alpha);
    rgb[2] = over_white(rgba[2], alpha);
  }
}

}  // namespace ernie::media
