#pragma once

#include "comm/communicator.h"
#include "model/device_arena.h"
#include "model/ernie45_vl/decoder_weights.h"
#include "model/model.h"

namespace ernie::model::ernie45_vl {

// Work memory of the decoder, sized once for the largest step. T is the activation type.
struct DecoderBuffers {
  TensorView residual;    // [tokens, hidden] T
  TensorView normed;      // [tokens, hidden] T
  TensorView update;      // [tokens, hidden] T: what a block adds to the residual
  TensorView partial;     // [tokens, hidden] float32: a rank's share; empty if `update` holds it
  TensorView qkv;         // [tokens, (q_heads + 2 kv_heads) * head_dim] T
  TensorView attention;   // [tokens, q_heads * head_dim] T
  TensorView gate_up;     // [tile, 2 * widest MLP] T
  TensorView inner;       // [tile, widest MLP] T
  TensorView expert_ids;  // [tokens, top_k] int32
  TensorView expert_weights;  // [tokens, top_k] float32
  TensorView last_sum;        // [sequences, hidden] where sums are: rows whose logits are wanted
  TensorView last_residual;   // [sequences, hidden] T
  TensorView logits_part;     // [sequences, vocab / ranks] float32; empty with one rank
};

DecoderBuffers take_decoder_buffers(const ModelConfig& config, const Shard& shard, DType dtype,
                                    const StepLimits& limits, DeviceArena& arena);

// The language model: embedding, layers, logits. One rank's part; with several ranks every call is
// collective. Rounding points in bfloat16 are those of transformers' ernie4_5_vl_moe, except that
// sums over experts and over ranks are taken in float32 and rounded once.
class Decoder {
 public:
  struct Args {
    const ModelConfig& config;
    Shard shard;
    DType activation = DType::kBF16;
    DecoderWeights weights;
    DecoderBuffers buffers;
    ops::Operators& operators;
    Communicator& comm;
  };
  explicit Decoder(Args args);

  // Embeds the step's tokens. The result [tokens, hidden] may be overwritten before run().
  TensorView embed(const ModelInput& input);

  // Runs the layers over what embed() returned and fills logits [m, vocab] float32.
  void run(const ModelInput& input, const KvCache& cache, TensorView logits);

 private:
  void attention(const DecoderLayer& layer, const ModelInput& input, const ops::KvLayer& kv);
  void feed_forward(const GatedMlp& mlp, int64_t tokens);
  void feed_forward(const Moe& moe, const ModelInput& input);
  void mlp_tile(const GatedMlp& mlp, TensorView x, TensorView out);
  TensorView sum_view(int64_t tokens) const;
  void add_and_norm(TensorView sum, TensorView residual, TensorView weight);
  void logits(const ModelInput& input, TensorView logits);

  Args a_;
  ops::RopeTable rope_;
};

}  // namespace ernie::model::ernie45_vl
