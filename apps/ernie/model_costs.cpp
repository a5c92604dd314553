#include "model_costs.h"

#include <cmath>

#include "model/model.h"

namespace ernie::app {
namespace {

constexpr double kRouterWidth = 4;
constexpr double kFlopsPerWeight = 2;

// Weights that one rank holds, as counts.
struct DecoderWeights {
  double dense = 0;
  double expert = 0;  // of one routed expert in one layer
  double router = 0;
  double head = 0;
  int moe_layers = 0;
};

double mlp(double hidden, double width) { return 3 * hidden * width; }

DecoderWeights decoder_weights(const model::ModelConfig& c, const model::ExpertGroup& experts,
                               int ranks) {
  const double hidden = c.hidden_size;
  const double q = 2 * hidden * c.num_heads * c.head_dim / ranks;
  const double kv = 2 * hidden * model::kv_heads_per_rank(c, ranks) * c.head_dim;
  DecoderWeights w;
  w.dense = c.num_layers * (q + kv);
  w.head = hidden * c.vocab_size / ranks;
  w.expert = mlp(hidden, experts.intermediate_size) / ranks;
  for (int layer = 0; layer < c.num_layers; ++layer) {
    if (!c.is_moe_layer(layer)) {
      w.dense += mlp(hidden, c.intermediate_size) / ranks;
      continue;
    }
    ++w.moe_layers;
    w.router += hidden * experts.num_experts;
    w.dense +=
        mlp(hidden, double{1} * c.moe->num_shared_experts * c.moe->text.intermediate_size) / ranks;
  }
  return w;
}

// Without the head and without the cache.
StepCost decoder_cost(const model::ModelConfig& c, const WeightWidths& widths,
                      const model::ExpertGroup& experts, int ranks, double tokens,
                      double attended) {
  const DecoderWeights w = decoder_weights(c, experts, ranks);
  const int top_k = c.moe ? c.moe->top_k : 0;
  const double hit = w.moe_layers * expected_experts(experts.num_experts, top_k, tokens);
  StepCost cost;
  cost.weight_bytes =
      w.dense * widths.dense + hit * w.expert * widths.experts + w.router * kRouterWidth;
  const double active = w.dense + w.router + double{1} * w.moe_layers * top_k * w.expert;
  // Scores and their sum over values: two products for each head and attended token.
  const double attention = 2.0 * c.num_layers * c.num_heads * c.head_dim / ranks * attended;
  cost.flops = kFlopsPerWeight * (tokens * active + attention);
  return cost;
}

}  // namespace

double weight_width(WeightFormat format) {
  if (!format.is_quantized()) return static_cast<double>(dtype_bytes(format.dtype()));
  constexpr double kScaleBytes = 2;
  const double value = format.type == WeightType::kInt4 ? 0.5 : 1;
  return format.group > 0 ? value + kScaleBytes / format.group : value;
}

double expected_experts(int experts, int top_k, double tokens) {
  if (experts == 0) return 0;
  return experts * (1 - std::pow(1 - static_cast<double>(top_k) / experts, tokens));
}

StepCost text_step_cost(const model::ModelConfig& c, const WeightWidths& widths, double kv_width,
                        int ranks, int sequences, int tokens, double context) {
  const model::ExpertGroup experts = c.moe ? c.moe->text : model::ExpertGroup{};
  const double attended = sequences * (tokens * context + tokens * (tokens + 1.0) / 2);
  StepCost cost = decoder_cost(c, widths, experts, ranks, double{1} * sequences * tokens, attended);
  const double head = decoder_weights(c, experts, ranks).head;
  cost.weight_bytes += head * widths.head;
  cost.flops += kFlopsPerWeight * sequences * head;
  cost.kv_bytes = sequences * context * 2 * c.num_layers * model::kv_heads_per_rank(c, ranks) *
                  c.head_dim * kv_width;
  return cost;
}

StepCost image_cost(const model::ModelConfig& c, const WeightWidths& widths, int ranks,
                    int patches) {
  const model::VisionConfig& v = *c.vision;
  const double tokens = patches / 4.0;
  const model::ExpertGroup experts = c.moe ? c.moe->vision : model::ExpertGroup{};
  StepCost cost = decoder_cost(c, widths, experts, ranks, tokens, tokens * (tokens + 1) / 2);

  const double width = v.hidden_size;
  const double tower = 3.0 * v.patch_size * v.patch_size * width +
                       v.depth * (4 * width * width + 2 * width * v.intermediate_size);
  const double window = 4 * width;
  const double resampler = 2 * window * window + 3 * window * window + window * c.hidden_size;
  const double attention = 2.0 * v.depth * width * patches * patches;
  cost.weight_bytes += 2 * (tower + resampler);
  cost.flops += kFlopsPerWeight * (patches * tower + tokens * resampler + attention);
  return cost;
}

}  // namespace ernie::app
