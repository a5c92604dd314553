#include "model/ernie45_vl/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace ernie::model::ernie45_vl {
namespace {

// MLPs run over tiles of this many rows, which bounds their work memory. Rows are independent, so
// the tile size does not change results.
constexpr int64_t kTileRows = 2048;

// The first rows of a buffer, seen with `cols` columns.
TensorView rows_of(const TensorView& buffer, int64_t rows, int64_t cols) {
  CHECK(rows * cols <= buffer.shape.elements(), "step exceeds the work buffers");
  return {buffer.data, buffer.dtype, {rows, cols}};
}
TensorView rows_of(const TensorView& buffer, int64_t rows) {
  return rows_of(buffer, rows, buffer.shape[1]);
}

// The first layers that have both kinds of feed-forward networks, or the first alone where all are
// alike.
size_t layers_of_each_kind(const std::vector<DecoderLayer>& layers) {
  const auto other = std::find_if(layers.begin(), layers.end(), [&](const DecoderLayer& layer) {
    return layer.ffn.index() != layers[0].ffn.index();
  });
  return other == layers.end() ? 1 : static_cast<size_t>(other - layers.begin()) + 1;
}

// Frequencies theta^(-2i/d) of adjacent pairs. In vision-language models the lowest ones turn with
// time, the others alternately with height and width (ERNIE's 3-D rotary embedding, transformers
// ernie4_5_vl_moe); text models have one position on all axes.
ops::RopeTable make_rope(const ModelConfig& config) {
  ops::RopeTable rope;
  const int pairs = config.head_dim / 2;
  const int spatial = config.vision ? pairs - config.rope_t_pairs : 0;
  for (int i = 0; i < pairs; ++i) {
    rope.inv_freq.push_back(
        std::pow(config.rope_theta, -2.0f * static_cast<float>(i) / config.head_dim));
    rope.axis.push_back(i >= spatial ? 0 : i % 2 == 0 ? 1 : 2);
  }
  return rope;
}

}  // namespace

DecoderBuffers take_decoder_buffers(const ModelConfig& config, const Shard& shard, DType dtype,
                                    const StepLimits& limits, DeviceArena& arena) {
  const int64_t tokens = limits.max_tokens;
  const int64_t seqs = limits.max_seqs;
  const int64_t tile = std::min(tokens, kTileRows);
  const int64_t hidden = config.hidden_size;
  const int64_t q_width = shard.part(config.num_heads) * config.head_dim;
  const int64_t kv_width = int64_t{kv_heads_per_rank(config, shard.size)} * config.head_dim;
  const int64_t width = shard.part(config.intermediate_size);
  const int64_t top_k = config.moe ? config.moe->top_k : 0;
  const bool partial = dtype != DType::kF32 && shard.size > 1;

  DecoderBuffers b;
  b.residual = arena.take(dtype, {tokens, hidden});
  b.normed = arena.take(dtype, {tokens, hidden});
  b.update = arena.take(dtype, {tokens, hidden});
  b.partial = arena.take(DType::kF32, {partial ? tokens : 0, hidden});
  b.qkv = arena.take(dtype, {tokens, q_width + 2 * kv_width});
  b.attention = arena.take(dtype, {tokens, q_width});
  b.gate_up = arena.take(dtype, {tile, 2 * width});
  b.inner = arena.take(dtype, {tile, width});
  b.expert_ids = arena.take(DType::kI32, {tokens, top_k});
  b.expert_weights = arena.take(DType::kF32, {tokens, top_k});
  b.last_sum = arena.take(partial ? DType::kF32 : dtype, {seqs, hidden});
  b.last_residual = arena.take(dtype, {seqs, hidden});
  b.logits_part =
      arena.take(DType::kF32, {shard.size > 1 ? seqs : 0, shard.part(config.vocab_size)});
  return b;
}

Decoder::Decoder(Args args) : a_(std::move(args)), rope_(make_rope(a_.config)) {}

TensorView Decoder::embed(const ModelInput& input) {
  const TensorView residual = rows_of(a_.buffers.residual, input.num_tokens);
  const int64_t first_row = a_.shard.rank * a_.shard.part(a_.config.vocab_size);
  a_.operators.embed({a_.weights.embedding.get(), first_row, input.token_ids, residual});
  if (a_.shard.size > 1) a_.comm.all_reduce_sum(residual);  // exact: one rank has the row
  return residual;
}

void Decoder::run(const ModelInput& input, const KvCache& cache, TensorView logits_out) {
  const int64_t n = input.num_tokens;
  const TensorView residual = rows_of(a_.buffers.residual, n);
  const std::vector<DecoderLayer>& layers = a_.weights.layers;
  CHECK(cache.size() == layers.size(), "the cache needs one entry per layer");

  a_.operators.rms_norm({.x = residual,
                         .weight = layers[0].input_norm,
                         .eps = a_.config.norm_eps,
                         .out = rows_of(a_.buffers.normed, n)});
  const size_t count = input.rehearsal ? layers_of_each_kind(layers) : layers.size();
  for (size_t l = 0; l < count; ++l) {
    const DecoderLayer& layer = layers[l];
    attention(layer, input, cache[l]);
    add_and_norm(sum_view(n), residual, layer.post_attention_norm);
    if (const Moe* moe = std::get_if<Moe>(&layer.ffn)) {
      feed_forward(*moe, input);
    } else {
      feed_forward(std::get<GatedMlp>(layer.ffn), n);
    }
    if (l + 1 < count) {
      add_and_norm(sum_view(n), residual, layers[l + 1].input_norm);
    }
  }
  if (input.num_logits > 0) logits(input, logits_out);
}

void Decoder::attention(const DecoderLayer& layer, const ModelInput& input,
                        const ops::KvLayer& kv) {
  const int64_t n = input.num_tokens;
  const int q_heads = static_cast<int>(a_.shard.part(a_.config.num_heads));
  const TensorView qkv = rows_of(a_.buffers.qkv, n);
  const TensorView out = rows_of(a_.buffers.attention, n);
  a_.operators.linear({.weight = layer.qkv.get(), .x = rows_of(a_.buffers.normed, n), .out = qkv});
  a_.operators.rope_kv_write({qkv, input.positions, input.slots, &rope_, q_heads, kv});
  a_.operators.paged_attention({qkv, &input.attention, q_heads, kv, out});
  a_.operators.linear({.weight = layer.output.get(), .x = out, .out = sum_view(n)});
}

void Decoder::feed_forward(const GatedMlp& mlp, int64_t tokens) {
  const TensorView x = rows_of(a_.buffers.normed, tokens);
  const TensorView sum = sum_view(tokens);
  for (int64_t row = 0; row < tokens; row += kTileRows) {
    const int64_t count = std::min(kTileRows, tokens - row);
    mlp_tile(mlp, x.slice_rows(row, count), sum.slice_rows(row, count));
  }
}

void Decoder::feed_forward(const Moe& moe, const ModelInput& input) {
  const int64_t n = input.num_tokens;
  const TensorView x = rows_of(a_.buffers.normed, n);
  const TensorView ids = rows_of(a_.buffers.expert_ids, n);
  const TensorView weights = rows_of(a_.buffers.expert_weights, n);
  a_.operators.moe_route({.x = x,
                          .groups = moe.routers,
                          .token_group = input.is_vision,  // vision is the second group
                          .first_group_only = !input.any_vision,
                          .top_k = a_.config.moe->top_k,
                          .norm_min = a_.config.moe->norm_min,
                          .expert_ids = ids,
                          .expert_weights = weights});
  a_.operators.moe_experts({.x = x,
                            .expert_ids = ids,
                            .expert_weights = weights,
                            .experts = moe.experts.get(),
                            .out = sum_view(n)});
}

void Decoder::mlp_tile(const GatedMlp& mlp, TensorView x, TensorView out) {
  const int64_t width = mlp.down->in_features();
  const TensorView gate_up = rows_of(a_.buffers.gate_up, x.rows(), 2 * width);
  const TensorView inner = rows_of(a_.buffers.inner, x.rows(), width);
  a_.operators.linear({.weight = mlp.gate_up.get(), .x = x, .out = gate_up});
  a_.operators.swiglu({gate_up, inner});
  a_.operators.linear({.weight = mlp.down.get(), .x = inner, .out = out});
}

// Where a block writes its output: `update` itself, or float32 when ranks are to be added first.
TensorView Decoder::sum_view(int64_t tokens) const {
  const bool separate = a_.shard.size > 1 && a_.activation != DType::kF32;
  return rows_of(separate ? a_.buffers.partial : a_.buffers.update, tokens);
}

// Adds a block's output, over all ranks, to the residual and norms that into `normed`.
void Decoder::add_and_norm(TensorView sum, TensorView residual, TensorView weight) {
  const TensorView normed = rows_of(a_.buffers.normed, sum.rows());
  const float eps = a_.config.norm_eps;
  TensorView update = sum;
  if (a_.shard.size > 1) {
    if (a_.comm.all_reduce_residual_rms_norm({sum, residual, weight, eps, normed})) return;
    const bool rounds = sum.dtype != a_.activation;
    if (rounds) update = rows_of(a_.buffers.update, sum.rows());
    if (!rounds || !a_.comm.all_reduce_sum_rounded(sum, update)) {
      a_.comm.all_reduce_sum(sum);
      if (rounds) a_.operators.cast({sum, update});
    }
  }
  a_.operators.residual_rms_norm({update, residual, weight, eps, normed});
}

void Decoder::logits(const ModelInput& input, TensorView logits_out) {
  TensorView sum = sum_view(input.num_tokens);
  TensorView residual = rows_of(a_.buffers.residual, input.num_tokens);
  const int64_t m = input.num_logits;
  if (m < input.num_tokens) {  // else every row is wanted, in order
    const TensorView all_sums = sum;
    const TensorView all_residuals = residual;
    sum = rows_of(a_.buffers.last_sum, m);
    residual = rows_of(a_.buffers.last_residual, m);
    a_.operators.gather_rows({all_sums, input.logits_rows, sum});
    a_.operators.gather_rows({all_residuals, input.logits_rows, residual});
  }
  add_and_norm(sum, residual, a_.weights.final_norm);
  const TensorView normed = rows_of(a_.buffers.normed, m);
  if (a_.shard.size == 1) {
    a_.operators.linear({.weight = &a_.weights.head(), .x = normed, .out = logits_out});
    return;
  }
  const TensorView part = rows_of(a_.buffers.logits_part, m);
  a_.operators.linear({.weight = &a_.weights.head(), .x = normed, .out = part});
  a_.comm.all_gather_columns(part, logits_out);
}

}  // namespace ernie::model::ernie45_vl
