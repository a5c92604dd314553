#pragma once

#include <memory>
#include <vector>

#include "model/config.h"
#include "model/weight_loader.h"

// Weights of the vision tower and the resampler; every rank holds all of them.
namespace ernie::model::ernie45_vl {

struct BiasedLinear {
  std::unique_ptr<Weight> weight;  // [out, in]
  TensorView bias;                 // [out]
};

struct LayerNormWeights {
  TensorView weight;  // [width]
  TensorView bias;    // [width]
};

struct VisionBlock {
  LayerNormWeights norm1;
  BiasedLinear qkv;   // [3 * width, width]: q heads, k heads, v heads
  BiasedLinear proj;  // [width, width]
  LayerNormWeights norm2;
  BiasedLinear fc1;  // [intermediate, width]
  BiasedLinear fc2;  // [width, intermediate]
};

struct VisionTowerWeights {
  std::unique_ptr<Weight> patch_embed;  // [width, 3 * patch * patch]
  std::vector<VisionBlock> blocks;
  LayerNormWeights norm;
};

// Linear, GELU, Linear, LayerNorm.
struct MergeMlp {
  BiasedLinear fc1;
  BiasedLinear fc2;
  LayerNormWeights norm;
};

struct ResamplerWeights {
  MergeMlp spatial;   // [4 * width, 4 * width]
  MergeMlp temporal;  // [4 * width, 8 * width], then [4 * width, 4 * width]
  BiasedLinear out;   // [hidden, 4 * width]
  TensorView norm;    // [hidden], RMSNorm
};

VisionTowerWeights load_vision_tower(const VisionConfig& config, DType dtype, WeightLoader& loader);
ResamplerWeights load_resampler(const ModelConfig& config, DType dtype, WeightLoader& loader);

}  // namespace ernie::model::ernie45_vl
