#pragma once

#include <cstdint>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"

namespace ernie {

enum class WeightType : uint8_t { kF32, kBF16, kInt8, kInt4 };

// How the elements of a weight matrix are stored, apart from where a backend puts them. A quantised
// weight is q * scale, with an integer q of so many bits and a bfloat16 scale for each output
// channel, or for each group of neighbours along in_features.
struct WeightFormat {
  WeightType type = WeightType::kBF16;
  int group = 0;  // elements that share a scale; 0: the whole row

  bool is_quantized() const { return type == WeightType::kInt8 || type == WeightType::kInt4; }
  // Whether a scale needs the whole row, also of a slice of columns.
  bool has_row_scales() const { return is_quantized() && group == 0; }
  // The type of the elements of a matrix that is not quantised.
  DType dtype() const {
    CHECK(!is_quantized(), "a quantised matrix has no element type");
    return type == WeightType::kF32 ? DType::kF32 : DType::kBF16;
  }
  friend bool operator==(const WeightFormat&, const WeightFormat&) = default;
};

// Elements as they are, in float32 or bfloat16.
inline WeightFormat unquantized(DType dtype) {
  CHECK(dtype == DType::kF32 || dtype == DType::kBF16,
        std::string("weights are float32 or bfloat16, not ") + dtype_name(dtype));
  return {dtype == DType::kF32 ? WeightType::kF32 : WeightType::kBF16};
}

// For example "bfloat16", "int8" or "int4 in groups of 64".
inline std::string to_string(WeightFormat format) {
  if (!format.is_quantized()) return dtype_name(format.dtype());
  std::string name = format.type == WeightType::kInt8 ? "int8" : "int4";
  if (format.group > 0) name += " in groups of " + std::to_string(format.group);
  return name;
}

}  // namespace ernie
