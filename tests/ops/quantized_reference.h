#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/bf16.h"
#include "tensor/weight_format.h"

namespace ernie::op_tests {

// The values of a row-major matrix [rows, cols] after quantisation, as the written arithmetic says:
// with absmax over a row or group in float32, q = round half away from zero(w / absmax * limit),
// limit 127 or 7, and the value q * bf16(absmax / limit).
inline std::vector<float> dequantized(std::vector<float> values, int64_t rows, int64_t cols,
                                      WeightFormat format) {
  const float limit = format.type == WeightType::kInt8 ? 127 : 7;
  const int64_t group = format.group == 0 ? cols : format.group;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t begin = 0; begin < cols; begin += group) {
      float* const first = values.data() + r * cols + begin;
      float* const last = first + std::min(group, cols - begin);
      float absmax = 0;
      for (const float* w = first; w < last; ++w) absmax = std::max(absmax, std::abs(*w));
      const float scale = to_float(to_bf16(absmax / limit));
      for (float* w = first; w < last; ++w) {
        const float q = absmax == 0 ? 0 : std::round(*w / absmax * limit);
        *w = std::clamp(q, -limit, limit) * scale;
      }
    }
  }
  return values;
}

}  // namespace ernie::op_tests
