#include "model/ernie45_vl/vision_weights.h"

#include <string>

#include "model/ernie45_vl/tensor_specs.h"

namespace ernie::model::ernie45_vl {
namespace {

BiasedLinear biased_linear(const std::string& name, int64_t out, int64_t in, DType dtype,
                           WeightLoader& loader) {
  const TensorSpec spec = linear_spec(name + ".weight", out, in);
  return {loader.matrix(spec, whole(spec), unquantized(dtype)),
          loader.tensor(vector_spec(name + ".bias", out), dtype)};
}

LayerNormWeights layer_norm(const std::string& name, int64_t width, DType dtype,
                            WeightLoader& loader) {
  return {loader.tensor(vector_spec(name + ".weight", width), dtype),
          loader.tensor(vector_spec(name + ".bias", width), dtype)};
}

MergeMlp merge_mlp(const std::string& name, int64_t width, int64_t in, DType dtype,
                   WeightLoader& loader) {
  MergeMlp mlp;
  mlp.fc1 = biased_linear(name + ".0", width, in, dtype, loader);
  mlp.fc2 = biased_linear(name + ".2", width, width, dtype, loader);
  mlp.norm = layer_norm(name + ".3", width, dtype, loader);
  return mlp;
}

}  // namespace

VisionTowerWeights load_vision_tower(const VisionConfig& config, DType dtype,
                                     WeightLoader& loader) {
  const int64_t width = config.hidden_size;
  VisionTowerWeights tower;
  const TensorSpec patch_embed = linear_spec("vision_model.patch_embed.proj.weight", width,
                                             int64_t{3} * config.patch_size * config.patch_size);
  tower.patch_embed = loader.matrix(patch_embed, whole(patch_embed), unquantized(dtype));
  for (int b = 0; b < config.depth; ++b) {
    const std::string name = "vision_model.blocks." + std::to_string(b) + ".";
    VisionBlock block;
    block.norm1 = layer_norm(name + "norm1", width, dtype, loader);
    block.qkv = biased_linear(name + "attn.qkv", 3 * width, width, dtype, loader);
    block.proj = biased_linear(name + "attn.proj", width, width, dtype, loader);
    block.norm2 = layer_norm(name + "norm2", width, dtype, loader);
    block.fc1 = biased_linear(name + "mlp.fc1", config.intermediate_size, width, dtype, loader);
    block.fc2 = biased_linear(name + "mlp.fc2", width, config.intermediate_size, dtype, loader);
    tower.blocks.push_back(std::move(block));
  }
  tower.norm = layer_norm("vision_model.ln", width, dtype, loader);
  return tower;
}

ResamplerWeights load_resampler(const ModelConfig& config, DType dtype, WeightLoader& loader) {
  const std::string name = "model.resampler_model.";
  const int64_t window = int64_t{4} * config.vision->hidden_size;
  ResamplerWeights resampler;
  resampler.spatial = merge_mlp(name + "spatial_linear", window, window, dtype, loader);
  resampler.temporal = merge_mlp(name + "temporal_linear", window, 2 * window, dtype, loader);
  resampler.out = biased_linear(name + "mlp", config.hidden_size, window, dtype, loader);
  resampler.norm =
      loader.tensor(vector_spec(name + "after_norm.weight", config.hidden_size), dtype);
  return resampler;
}

}  // namespace ernie::model::ernie45_vl
