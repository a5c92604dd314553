#pragma once

#include <cstdint>

namespace ernie::kernels {

// How a weight matrix is stored: row-major in the activations' type, or quantised in the tiles of
// kernels/quantized/quantized_layout.h.
enum class WeightType : uint8_t { kNative, kInt8, kInt4 };

struct WeightFormat {
  WeightType type = WeightType::kNative;
  int group = 0;  // neighbours along k that share a scale: 32, 64 or 128; 0: the whole row

  friend constexpr bool operator==(const WeightFormat&, const WeightFormat&) = default;
};

constexpr int bits_of(WeightType type) { return type == WeightType::kInt4 ? 4 : 8; }

}  // namespace ernie::kernels
