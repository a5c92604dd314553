#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "model/config.h"
#include "model/quantization.h"
#include "model/tensor_parallel.h"
#include "model/weight_loader.h"
#include "ops/params.h"

// Weights of the decoder as one rank holds them: fused where two matrices read the same input.
// Names and shapes as in the -PT checkpoints.
namespace ernie::model::ernie45_vl {

struct Moe {
  std::vector<ops::RouterGroup> routers;  // text, then vision; no vision in text models
  std::unique_ptr<ExpertSet> experts;     // null while planning
};

struct DecoderLayer {
  TensorView input_norm;           // [hidden]
  TensorView post_attention_norm;  // [hidden]
  std::unique_ptr<Weight> qkv;     // [(q_heads + 2 kv_heads) * head_dim, hidden]
  std::unique_ptr<Weight> output;  // [hidden, q_heads * head_dim]
  std::variant<GatedMlp, Moe> ffn;
};

struct DecoderWeights {
  std::unique_ptr<Weight> embedding;  // [vocab / ranks, hidden]
  std::unique_ptr<Weight> own_head;   // likewise; null when tied to the embedding
  std::vector<DecoderLayer> layers;
  TensorView final_norm;  // [hidden]

  const Weight& head() const { return own_head ? *own_head : *embedding; }
};

DecoderWeights load_decoder(const ModelConfig& config, const Shard& shard, DType activation,
                            const Quantization& quantization, WeightLoader& loader);

}  // namespace ernie::model::ernie45_vl
