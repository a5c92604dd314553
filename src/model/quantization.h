#pragma once

#include <optional>

#include "tensor/weight_format.h"

namespace ernie::model {

// The formats of the decoder's matrices where they are not of the activations' type, which
// embeddings, head, norms, routers, vision tower and resampler always are.
struct Quantization {
  std::optional<WeightFormat> dense;  // qkv, output, dense MLP, shared experts
  std::optional<WeightFormat> text_experts;
  std::optional<WeightFormat> vision_experts;
};

}  // namespace ernie::model
