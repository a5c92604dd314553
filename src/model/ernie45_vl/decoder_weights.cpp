#include "model/ernie45_vl/decoder_weights.h"

#include <array>
#include <string>

#include "model/ernie45_vl/tensor_specs.h"

namespace ernie::model::ernie45_vl {
namespace {

class DecoderLoading {
 public:
  DecoderLoading(const ModelConfig& config, const Shard& shard, DType dtype, WeightLoader& loader)
      : config_(config), shard_(shard), dtype_(dtype), loader_(loader) {}

  DecoderWeights load() {
    DecoderWeights weights;
    // The largest matrices first, while little else is in memory.
    const TensorSpec embedding = table_spec("model.embed_tokens.weight");
    weights.embedding = loader_.matrix(embedding, shard_.by_rows(embedding));
    const TensorSpec head = table_spec("lm_head.weight");
    if (loader_.has(head) || !config_.tie_word_embeddings) {
      weights.own_head = loader_.matrix(head, shard_.by_rows(head));
    }
    for (int n = 0; n < config_.num_layers; ++n) weights.layers.push_back(layer(n));
    weights.final_norm = norm("model.norm.weight");
    return weights;
  }

 private:
  TensorSpec table_spec(const char* name) const {
    return {name, TensorRole::kTable, config_.vocab_size, config_.hidden_size};
  }

  TensorView norm(const std::string& name) {
    return loader_.tensor(vector_spec(name, config_.hidden_size), dtype_);
  }

  DecoderLayer layer(int n) {
    const std::string name = "model.layers." + std::to_string(n) + ".";
    DecoderLayer layer;
    layer.input_norm = norm(name + "input_layernorm.weight");
    layer.post_attention_norm = norm(name + "post_attention_layernorm.weight");
    attention(name + "self_attn.", layer);
    if (config_.is_moe_layer(n)) {
      layer.ffn = moe(name + "mlp.");
    } else {
      layer.ffn = mlp(name + "mlp.", config_.intermediate_size);
    }
    return layer;
  }

  void attention(const std::string& name, DecoderLayer& layer) {
    const int64_t hidden = config_.hidden_size;
    const int64_t q_width = int64_t{config_.num_heads} * config_.head_dim;
    const int64_t kv_width = int64_t{config_.num_kv_heads} * config_.head_dim;
    const TensorSpec q = linear_spec(name + "q_proj.weight", q_width, hidden);
    const TensorSpec k = linear_spec(name + "k_proj.weight", kv_width, hidden);
    const TensorSpec v = linear_spec(name + "v_proj.weight", kv_width, hidden);
    const TensorSpec o = linear_spec(name + "o_proj.weight", hidden, q_width);
    layer.qkv = loader_.matrix(std::array{MatrixPart{q, shard_.by_rows(q)},
                                          MatrixPart{k, shard_.kv_rows(k, config_)},
                                          MatrixPart{v, shard_.kv_rows(v, config_)}});
    layer.output = loader_.matrix(o, shard_.by_cols(o));
  }

  Mlp mlp(const std::string& name, int64_t width) {
    const TensorSpec gate = linear_spec(name + "gate_proj.weight", width, config_.hidden_size);
    const TensorSpec up = linear_spec(name + "up_proj.weight", width, config_.hidden_size);
    const TensorSpec down = linear_spec(name + "down_proj.weight", config_.hidden_size, width);
    Mlp mlp;
    mlp.gate_up = loader_.matrix(
        std::array{MatrixPart{gate, shard_.by_rows(gate)}, MatrixPart{up, shard_.by_rows(up)}});
    mlp.down = loader_.matrix(down, shard_.by_cols(down));
    mlp.width = shard_.part(width);
    return mlp;
  }

  Moe moe(const std::string& name) {
    const MoeConfig& config = *config_.moe;
    Moe moe;
    router(name, "", config.text, 0, moe);
    if (config.vision.num_experts > 0) router(name, "_1", config.vision, 1, moe);
    for (int e = 0; e < config.text.num_experts + config.vision.num_experts; ++e) {
      const ExpertGroup& group = e < config.text.num_experts ? config.text : config.vision;
      moe.experts.push_back(
          mlp(name + "experts." + std::to_string(e) + ".", group.intermediate_size));
    }
    for (const Mlp& expert : moe.experts) {
      moe.gate_up.push_back(expert.gate_up.get());
      moe.down.push_back(expert.down.get());
    }
    if (config.num_shared_experts > 0) {
      moe.shared = mlp(name + "shared_experts.",
                       int64_t{config.num_shared_experts} * config.text.intermediate_size);
    }
    return moe;
  }

  void router(const std::string& name, const std::string& suffix, const ExpertGroup& group,
              int modality, Moe& moe) {
    moe.router[modality] = loader_.tensor({name + "gate.weight" + suffix, TensorRole::kRouter,
                                           group.num_experts, config_.hidden_size},
                                          DType::kF32);
    if (config_.moe->correction_bias) {
      moe.bias[modality] = loader_.tensor({name + "moe_statics.e_score_correction_bias" + suffix,
                                           TensorRole::kExpertBias, 1, group.num_experts},
                                          DType::kF32);
    }
  }

  const ModelConfig& config_;
  const Shard& shard_;
  DType dtype_;
  WeightLoader& loader_;
};

}  // namespace

DecoderWeights load_decoder(const ModelConfig& config, const Shard& shard, DType dtype,
                            WeightLoader& loader) {
  return DecoderLoading(config, shard, dtype, loader).load();
}

}  // namespace ernie::model::ernie45_vl
