#pragma once

#include <cstdint>

#include "ops/weight.h"
#include "tensor/bf16.h"
#include "tensor/weight_format.h"

// The arithmetic of quantised weights, once for all that runs on the host.
namespace ernie {

// Scales of a row; group as in WeightFormat.
inline int64_t scales_per_row(int64_t in_features, int group) {
  return group == 0 ? 1 : (in_features + group - 1) / group;
}

// Of QuantizedHostMatrix.
inline int64_t inputs_per_word(WeightType type) { return type == WeightType::kInt4 ? 8 : 4; }
inline int64_t words_per_row(int64_t in_features, WeightType type) {
  return (in_features + inputs_per_word(type) - 1) / inputs_per_word(type);
}

// Quantises a row of the matrix: q[in_features], scales[scales_per_row]. With absmax over the row
// or a group of it in float32 and limit 127 (int8) or 7 (int4): q = w / absmax * limit, half
// rounded away from zero; scale = absmax / limit in bfloat16; zeros stay zeros. Without groups the
// absmax is taken over the row of the whole matrix; slices of those with groups must begin at a
// group.
void quantize_row(const HostMatrix& matrix, int64_t row, WeightFormat format, int8_t* q,
                  BF16* scales);

// Between q[n] and the words of QuantizedHostMatrix. What a last word has beyond n is q = 0.
void pack_words(const int8_t* q, int64_t n, WeightType type, uint32_t* words);
void unpack_words(const uint32_t* words, int64_t n, WeightType type, int8_t* q);

}  // namespace ernie
