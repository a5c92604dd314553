#pragma once

#include <bit>
#include <cstdint>

namespace ernie {

// Storage type of bfloat16: the upper half of an IEEE float32.
struct BF16 {
  uint16_t bits = 0;
};

inline float to_float(BF16 v) { return std::bit_cast<float>(static_cast<uint32_t>(v.bits) << 16); }

// Rounds to nearest, ties to even. NaN stays NaN.
inline BF16 to_bf16(float f) {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

}  // namespace ernie
