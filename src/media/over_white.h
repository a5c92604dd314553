#pragma once

#include <cstddef>
#include <cstdint>

namespace ernie::media {

// One channel of a pixel with opacity `alpha` over white, rounded as Pillow's paste with a mask.
inline uint8_t over_white(uint8_t value, uint8_t alpha) {
  const unsigned t = value * alpha + 255u * (255u - alpha) + 128u;
  return static_cast<uint8_t>((t + (t >> 8)) >> 8);
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
