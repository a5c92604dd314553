#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "model/config.h"
#include "model/tensor_parallel.h"
#include "model/weight_loader.h"

// Weights of the decoder as one rank holds them: fused where two matrices read the same input.
// Names and shapes as in the -PT checkpoints.
namespace ernie::model::ernie45_vl {

// down(swiglu(gate_up(x)))
struct Mlp {
  std::unique_ptr<Weight> gate_up;  // [2 * width, hidden], gate rows first
  std::unique_ptr<Weight> down;     // [hidden, width]
  int64_t width = 0;                // this rank's
};

struct Moe {
  TensorView router[2];      // text, vision: [experts, hidden] float32; no vision in text models
  TensorView bias[2];        // [experts] float32
  std::vector<Mlp> experts;  // text experts, then vision experts
  std::vector<const Weight*> gate_up;  // of each expert, as the backend wants them
  std::vector<const Weight*> down;
  std::optional<Mlp> shared;
};

struct DecoderLayer {
  TensorView input_norm;           // [hidden]
  TensorView post_attention_norm;  // [hidden]
  std::unique_ptr<Weight> qkv;     // [(q_heads + 2 kv_heads) * head_dim, hidden]
  std::unique_ptr<Weight> output;  // [hidden, q_heads * head_dim]
  std::variant<Mlp, Moe> ffn;
};

struct DecoderWeights {
  std::unique_ptr<Weight> embedding;  // [vocab / ranks, hidden]
  std::unique_ptr<Weight> own_head;   // likewise; null when tied to the embedding
  std::vector<DecoderLayer> layers;
  TensorView final_norm;  // [hidden]

  const Weight& head() const { return own_head ? *own_head : *embedding; }
};

DecoderWeights load_decoder(const ModelConfig& config, const Shard& shard, DType dtype,
                            WeightLoader& loader);

}  // namespace ernie::model::ernie45_vl
