#include "ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ernie {
namespace {

float widen(float v) { return v; }
float widen(BF16 v) { return to_float(v); }

// NaN if one of them is.
template <typename In>
float absmax(const In* in, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float v = std::abs(widen(in[i]));
    most = v > most || v != v ? v : most;
  }
  return most;
}

// q of in[n], given their absmax; returns the scale.
template <typename In>
BF16 quantize(const In* in, int64_t n, float absmax, float limit, int8_t* q) {
  // A scale that is no number keeps a fault of the checkpoint visible in every result.
  if (absmax == 0 || !std::isfinite(absmax)) {
    std::memset(q, 0, static_cast<size_t>(n));
    return to_bf16(absmax / limit);
  }
  for (int64_t i = 0; i < n; ++i) {
    const float scaled = std::clamp(widen(in[i]) / absmax * limit, -limit, limit);
    const int whole = static_cast<int>(scaled);
    const float rest = scaled - static_cast<float>(whole);
    q[i] = static_cast<int8_t>(whole + (rest >= 0.5f) - (rest <= -0.5f));
  }
  return to_bf16(absmax / limit);
}

template <typename In>
void quantize_row(const HostMatrix& matrix, int64_t row, WeightFormat format, int8_t* q,
                  BF16* scales) {
  const In* in = static_cast<const In*>(matrix.row(row));
  const int64_t n = matrix.in_features;
  const float limit = format.type == WeightType::kInt4 ? 7 : 127;
  if (format.group == 0) {
    const bool slice = matrix.all_cols > 0;
    const float most = slice ? absmax(in - matrix.first_col, matrix.all_cols) : absmax(in, n);
    *scales = quantize(in, n, most, limit, q);
    return;
  }
  for (int64_t k = 0; k < n; k += format.group) {
    const int64_t count = std::min<int64_t>(format.group, n - k);
    *scales++ = quantize(in + k, count, absmax(in + k, count), limit, q + k);
  }
}

}  // namespace

void quantize_row(const HostMatrix& matrix, int64_t row, WeightFormat format, int8_t* q,
                  BF16* scales) {
  if (matrix.dtype == DType::kF32) {
    quantize_row<float>(matrix, row, format, q, scales);
  } else {
    quantize_row<BF16>(matrix, row, format, q, scales);
  }
}

void pack_words(const int8_t* q, int64_t n, WeightType type, uint32_t* words) {
  const int64_t in_word = inputs_per_word(type);
  const int bits = type == WeightType::kInt4 ? 4 : 8;
  const int offset = 1 << (bits - 1);
  for (int64_t k = 0; k < n; k += in_word) {
    uint32_t word = 0;
    for (int64_t i = 0; i < in_word; ++i) {
      const int value = (k + i < n ? q[k + i] : 0) + offset;
      word |= static_cast<uint32_t>(value) << (i * bits);
    }
    *words++ = word;
  }
}

void unpack_words(const uint32_t* words, int64_t n, WeightType type, int8_t* q) {
  const bool int4 = type == WeightType::kInt4;
  for (int64_t k = 0; k < n; ++k) {
    q[k] = static_cast<int8_t>(int4 ? static_cast<int>(words[k / 8] >> (k % 8 * 4) & 15) - 8
                                    : static_cast<int>(words[k / 4] >> (k % 4 * 8) & 255) - 128);
  }
}

}  // namespace ernie
