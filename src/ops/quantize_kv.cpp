#include "ops/quantize_kv.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace ernie {
namespace {

float widen(float v) { return v; }
float widen(BF16 v) { return to_float(v); }

// To the nearest integer, ties to even, of |v| < 2^22: the sum has no place for a fraction.
float round_to_integer(float v) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (v + kShift) - kShift;
}

uint8_t to_e4m3(float v) {
  constexpr uint32_t kBias = (127 - 7) << 3;  // of the exponent, behind three bits of mantissa
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
  const float least_normal = 0x1p-6f;
  if (std::abs(v) < least_normal) {
    return sign | static_cast<uint8_t>(round_to_integer(std::abs(v) * 0x1p9f));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return sign | static_cast<uint8_t>((rounded >> 20) - kBias);
}

uint8_t to_cell(float v, KvType type) {
  if (type == KvType::kFp8) return to_e4m3(v);
  return static_cast<uint8_t>(static_cast<int8_t>(round_to_integer(v)));
}

}  // namespace

template <typename In>
BF16 quantize_kv(const In* in, int64_t n, KvType type, uint8_t* cells) {
  float absmax = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float v = std::abs(widen(in[i]));
    absmax = v > absmax || v != v ? v : absmax;
  }
  const float limit = kv_limit(type);
  const BF16 rounded = to_bf16(absmax / limit);
  const float scale = to_float(rounded);
  if (scale == 0 || !std::isfinite(scale)) {
    std::memset(cells, 0, static_cast<size_t>(n));
    return rounded;
  }
  for (int64_t i = 0; i < n; ++i) {
    cells[i] = to_cell(std::clamp(widen(in[i]) / scale, -limit, limit), type);
  }
  return rounded;
}

template BF16 quantize_kv(const float*, int64_t, KvType, uint8_t*);
template BF16 quantize_kv(const BF16*, int64_t, KvType, uint8_t*);

float kv_cell(uint8_t cell, KvType type) {
  if (type == KvType::kInt8) return static_cast<float>(static_cast<int8_t>(cell));
  const auto magnitude = static_cast<uint32_t>(cell & 0x7fu);
  const float value = magnitude < 8 ? static_cast<float>(magnitude) * 0x1p-9f
                                    : std::bit_cast<float>((magnitude << 20) + ((127u - 7u) << 23));
  return cell & 0x80u ? -value : value;
}

}  // namespace ernie
