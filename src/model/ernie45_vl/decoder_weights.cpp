#include "model/ernie45_vl/decoder_weights.h"

#include <array>
#include <string>
#include <utility>

#include "model/ernie45_vl/tensor_specs.h"

namespace ernie::model::ernie45_vl {
namespace {

class DecoderLoading {
 public:
  DecoderLoading(const ModelConfig& config, const Shard& shard, DType activation,
                 const Quantization& quantization, WeightLoader& loader)
      : config_(config),
        shard_(shard),
        activation_(activation),
        plain_(unquantized(activation)),
        dense_(quantization.dense.value_or(plain_)),
        text_experts_(quantization.text_experts.value_or(plain_)),
        vision_experts_(quantization.vision_experts.value_or(plain_)),
        loader_(loader) {}

  DecoderWeights load() {
    DecoderWeights weights;
    // The largest matrices first, while little else is in memory.
    const TensorSpec embedding = table_spec("model.embed_tokens.weight", config_);
    weights.embedding = loader_.matrix(embedding, shard_.by_rows(embedding), plain_);
    const TensorSpec head = head_spec(config_);
    if (loader_.has(head) || !config_.tie_word_embeddings) {
      weights.own_head = loader_.matrix(head, shard_.by_rows(head), plain_);
    }
    for (int n = 0; n < config_.num_layers; ++n) weights.layers.push_back(layer(n));
    weights.final_norm = norm("model.norm.weight");
    return weights;
  }

 private:
  TensorView norm(const std::string& name) {
    return loader_.tensor(vector_spec(name, config_.hidden_size), activation_);
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
      layer.ffn = mlp(name + "mlp.", config_.intermediate_size, dense_, ops::MatrixUse::kLinear);
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
    layer.qkv = loader_.matrix(
        std::array{MatrixPart{q, shard_.by_rows(q)}, MatrixPart{k, shard_.kv_rows(k, config_)},
                   MatrixPart{v, shard_.kv_rows(v, config_)}},
        dense_);
    layer.output = loader_.matrix(o, shard_.by_cols(o), dense_);
  }

  GatedMlp mlp(const std::string& name, int64_t width, WeightFormat format, ops::MatrixUse use) {
    const TensorSpec gate = linear_spec(name + "gate_proj.weight", width, config_.hidden_size);
    const TensorSpec up = linear_spec(name + "up_proj.weight", width, config_.hidden_size);
    const TensorSpec down = linear_spec(name + "down_proj.weight", config_.hidden_size, width);
    GatedMlp mlp;
    mlp.gate_up = loader_.matrix(
        std::array{MatrixPart{gate, shard_.by_rows(gate)}, MatrixPart{up, shard_.by_rows(up)}},
        format, use);
    mlp.down = loader_.matrix(down, shard_.by_cols(down), format);
    return mlp;
  }

  Moe moe(const std::string& name) {
    const MoeConfig& config = *config_.moe;
    Moe moe;
    ExpertWeights experts;
    int next_id = 0;
    const auto add_group = [&](const ExpertGroup& group, const char* suffix, WeightFormat format) {
      moe.routers.push_back(router(name, suffix, group));
      std::vector<GatedMlp>& mlps = experts.groups.emplace_back();
      for (int e = 0; e < group.num_experts; ++e, ++next_id) {
        mlps.push_back(expert(name + "experts." + std::to_string(next_id) + ".",
                              group.intermediate_size, format));
      }
    };
    add_group(config.text, "", text_experts_);
    if (config.vision.num_experts > 0) add_group(config.vision, "_1", vision_experts_);
    if (config.num_shared_experts > 0) {
      experts.shared =
          expert(name + "shared_experts.",
                 int64_t{config.num_shared_experts} * config.text.intermediate_size, dense_);
    }
    moe.experts = loader_.experts(std::move(experts));
    return moe;
  }

  GatedMlp expert(const std::string& name, int64_t width, WeightFormat format) {
    return mlp(name, width, format, ops::MatrixUse::kExpertGateUp);
  }

  ops::RouterGroup router(const std::string& name, const std::string& suffix,
                          const ExpertGroup& group) {
    ops::RouterGroup router;
    router.weight = loader_.tensor({name + "gate.weight" + suffix, TensorRole::kRouter,
                                    group.num_experts, config_.hidden_size},
                                   DType::kF32);
    if (config_.moe->correction_bias) {
      router.bias = loader_.tensor({name + "moe_statics.e_score_correction_bias" + suffix,
                                    TensorRole::kExpertBias, 1, group.num_experts},
                                   DType::kF32);
    }
    return router;
  }

  const ModelConfig& config_;
  const Shard& shard_;
  DType activation_;
  WeightFormat plain_;
  WeightFormat dense_;
  WeightFormat text_experts_;
  WeightFormat vision_experts_;
  WeightLoader& loader_;
};

}  // namespace

DecoderWeights load_decoder(const ModelConfig& config, const Shard& shard, DType activation,
                            const Quantization& quantization, WeightLoader& loader) {
  return DecoderLoading(config, shard, activation, quantization, loader).load();
}

}  // namespace ernie::model::ernie45_vl
