#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/weight_format.h"

namespace ernie::model {

// The formats of the decoder's matrices where they are not of the activations' type, which
// embeddings, head, norms, routers, vision tower and resampler always are.
struct Quantization {
  std::optional<WeightFormat> dense;  // qkv, output, dense MLP, shared experts
  std::optional<WeightFormat> text_experts;
  std::optional<WeightFormat> vision_experts;

  bool any() const { return dense || text_experts || vision_experts; }
  friend bool operator==(const Quantization&, const Quantization&) = default;
};

// Experts of one modality.
struct ExpertGroup {
  int num_experts = 0;
  int intermediate_size = 0;
};

struct MoeConfig {
  ExpertGroup text;
  ExpertGroup vision;  // num_experts == 0 in text-only models
  int top_k = 0;
  int num_shared_experts = 0;  // one fused MLP of width num_shared_experts * text.intermediate_size
  int first_layer = 0;  // MoE layers: first_layer <= n <= last_layer and (n + 1) % interval == 0
  int last_layer = 0;
  int interval = 1;
  bool correction_bias = true;  // moe_use_aux_free: e_score_correction_bias exists
  float norm_min = 1e-12f;
};

struct VisionConfig {
  int depth = 0;
  int hidden_size = 0;
  int num_heads = 0;
  int intermediate_size = 0;
  int patch_size = 14;
  int spatial_merge = 2;
  int temporal_merge = 2;
  float norm_eps = 1e-6f;
  float rope_theta = 10000.0f;
  int head_dim() const { return hidden_size / num_heads; }
};

// Geometry of an ERNIE-4.5 model (text or vision-language), whatever file it was read from.
struct ModelConfig {
  std::string architecture;  // as the file names it
  int hidden_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int intermediate_size = 0;  // of dense layers
  int vocab_size = 0;
  int max_position_embeddings = 131072;
  float rope_theta = 500000.0f;
  int rope_t_pairs =
      20;  // freq_allocation: the lowest frequencies turn with t; ignored when text only
  float norm_eps = 1e-5f;
  // A stored lm_head.weight is used in any case; without one, false is an error.
  bool tie_word_embeddings = true;
  std::optional<MoeConfig> moe;
  std::optional<VisionConfig> vision;
  int32_t image_token_id = -1;  // im_patch_id; -1: take it from the tokenizer
  std::string dtype = "bfloat16";
  bool saved_by_paddle = false;  // "source": matrices whose shapes do not tell are [in, out]
  Quantization quantization;     // of the stored matrices; nothing when they are not quantised
  int packed_ranks = 0;  // of a folder of `ernie pack`: the one tensor-parallel size it is for

  bool is_moe_layer(int layer) const {
    return moe && (layer + 1) % moe->interval == 0 && layer >= moe->first_layer &&
           layer <= moe->last_layer;
  }
};

// The same model without what only pictures need.
ModelConfig without_vision(ModelConfig config);

// Reads config.json in the original flat form (-PT, -Paddle) or the nested one of transformers,
// with the published defaults for keys that files leave out. Errors name file, key, value and what
// was expected. Sources of the defaults: transformers (ernie4_5, ernie4_5_moe, ernie4_5_vl_moe) and
// FastDeploy's ernie4_5_vl.
Result<ModelConfig> load_config(const std::string& model_dir);
Result<ModelConfig> parse_config(const std::string& json_text, const std::string& file_name);

// Built-in geometries for dummy weights and planning: ERNIE-4.5-0.3B, -21B-A3B, -300B-A47B,
// ERNIE-4.5-VL-28B-A3B, ERNIE-4.5-VL-424B-A47B.
std::optional<ModelConfig> builtin_config(const std::string& name);
std::vector<std::string> builtin_config_names();

}  // namespace ernie::model
