#pragma once

#include "model/config.h"
#include "tensor/weight_format.h"

namespace ernie::app {

// Bytes that one weight takes in memory. Routers are always float32.
struct WeightWidths {
  double dense = 2;    // attention, dense and shared MLPs
  double experts = 2;  // routed experts
  double head = 2;
};

// Scales included, but for those of whole rows.
double weight_width(WeightFormat format);

// What one rank of `ranks` must read from memory and compute at least.
struct StepCost {
  double weight_bytes = 0;
  double kv_bytes = 0;
  double flops = 0;  // a multiply-add is two
};

// Distinct experts that `tokens` tokens hit when each picks `top_k` of `experts` at random:
// E (1 - (1 - k/E)^tokens).
double expected_experts(int experts, int top_k, double tokens);

// A step that computes `tokens` text tokens of each of `sequences` sequences, `context` tokens of
// each being in the cache already, and the logits of each sequence's last token. Weights are read
// once, the cached keys and values once for each sequence. `kv_width` is in bytes. Norms, biases
// and the rows of the embedding are left out: they are less than a thousandth.
StepCost text_step_cost(const model::ModelConfig& config, const WeightWidths& widths,
                        double kv_width, int ranks, int sequences, int tokens, double context);

// A prompt of one picture of `patches` patches: the vision tower and the resampler, which every
// rank computes whole, and the decoder with the vision experts for patches / 4 tokens. `config` has
// a vision tower.
StepCost image_cost(const model::ModelConfig& config, const WeightWidths& widths, int ranks,
                    int patches);

}  // namespace ernie::app
