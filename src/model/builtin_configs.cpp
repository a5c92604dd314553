#include "model/config.h"

namespace ernie::model {
namespace {

// Everything the public releases share: vocabulary, head_dim 128, rotary base, epsilons.
ModelConfig base(int hidden, int layers, int heads, int kv_heads, int intermediate, bool tied) {
  ModelConfig config;
  config.hidden_size = hidden;
  config.num_layers = layers;
  config.num_heads = heads;
  config.num_kv_heads = kv_heads;
  config.head_dim = 128;
  config.intermediate_size = intermediate;
  config.vocab_size = 103424;
  config.tie_word_embeddings = tied;
  return config;
}

MoeConfig moe(int text_width, int vision_width, int top_k, int shared, int first, int last) {
  MoeConfig config;
  config.text = {64, text_width};
  if (vision_width > 0) config.vision = {64, vision_width};
  config.top_k = top_k;
  config.num_shared_experts = shared;
  config.first_layer = first;
  config.last_layer = last;
  return config;
}

VisionConfig vision_tower() {
  VisionConfig config;
  config.depth = 32;
  config.hidden_size = 1280;
  config.num_heads = 16;
  config.intermediate_size = 5120;
  return config;
}

ModelConfig dense_0_3b() {
  ModelConfig config = base(1024, 18, 16, 2, 3072, true);
  config.architecture = "Ernie4_5ForCausalLM";
  return config;
}

ModelConfig text_21b() {
  ModelConfig config = base(2560, 28, 20, 4, 12288, true);
  config.architecture = "Ernie4_5_MoeForCausalLM";
  config.moe = moe(1536, 0, 6, 2, 1, 27);
  return config;
}

ModelConfig text_300b() {
  ModelConfig config = base(8192, 54, 64, 8, 28672, false);
  config.architecture = "Ernie4_5_MoeForCausalLM";
  config.moe = moe(3584, 0, 8, 0, 3, 53);
  return config;
}

ModelConfig vl_28b() {
  ModelConfig config = text_21b();
  config.architecture = "Ernie4_5_VLMoeForConditionalGeneration";
  config.moe = moe(1536, 512, 6, 2, 1, 27);
  config.vision = vision_tower();
  config.image_token_id = 100295;
  return config;
}

ModelConfig vl_424b() {
  ModelConfig config = text_300b();
  config.architecture = "Ernie4_5_VLMoeForConditionalGeneration";
  config.moe = moe(3584, 1536, 8, 0, 3, 53);
  config.vision = vision_tower();
  config.image_token_id = 100295;
  return config;
}

struct Row {
  const char* name;
  ModelConfig (*make)();
};

constexpr Row kRows[] = {
    {"ERNIE-4.5-0.3B", dense_0_3b},      {"ERNIE-4.5-21B-A3B", text_21b},
    {"ERNIE-4.5-300B-A47B", text_300b},  {"ERNIE-4.5-VL-28B-A3B", vl_28b},
    {"ERNIE-4.5-VL-424B-A47B", vl_424b},
};

}  // namespace

std::optional<ModelConfig> builtin_config(const std::string& name) {
  for (const Row& row : kRows) {
    if (name == row.name) return row.make();
  }
  return std::nullopt;
}

std::vector<std::string> builtin_config_names() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.name);
  return names;
}

}  // namespace ernie::model
