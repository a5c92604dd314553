#pragma once

#include "model/config.h"
#include "model/config_reader.h"

namespace ernie::model {

// Reads a quantization_config in compressed-tensors' form for int4 and int8 weights
// ("pack-quantized"), symmetric, with a scale for each output channel or for each group of 32, 64
// or 128 inputs. Everything else is refused through the reader, by key. `config` has the geometry,
// which tells the linears that "targets" and "ignore" choose; each part of a Quantization must have
// one format.
Quantization read_quantization_config(ConfigReader& reader, const ModelConfig& config);

}  // namespace ernie::model
