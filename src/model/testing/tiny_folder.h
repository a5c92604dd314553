#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "model/testing/layouts.h"

namespace ernie::model::testing {

// config.json of a model like that of tiny_config(), but of widths that two ranks can cut into
// groups of 32. `more` are further keys, each behind a comma.
inline std::string wide_config_json(const std::string& more = "") {
  return R"({"architectures": ["Ernie4_5_VLMoeForConditionalGeneration"],
    "model_type": "ernie4_5_moe_vl", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 128,
    "vocab_size": 50, "freq_allocation": 2, "im_patch_id": 49, "moe_num_experts": [4, 4],
    "moe_k": 2, "moe_intermediate_size": [64, 192], "moe_num_shared_experts": 2,
    "moe_layer_start_index": 1,
    "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 28})" +
         more + "}";
}

inline ModelConfig wide_config() { return *parse_config(wide_config_json(), "config.json"); }

using MakeBackend = std::function<std::unique_ptr<ops::Backend>()>;

// The logits of tiny_prompt() on so many ranks, from a folder that is planned and loaded as `ernie
// serve` would. Throws StartError.
inline std::vector<float> folder_logits(const std::string& folder, const MakeBackend& make_backend,
                                        int ranks, const std::optional<Quantization>& quantization,
                                        DType activation) {
  const Result<ModelConfig> config = load_config(folder);
  if (!config) throw StartError(config.error().message);
  LoadOptions options = tiny_options();
  options.activation = activation;
  options.quantization = quantization;
  std::vector<std::unique_ptr<ops::Backend>> backends;
  for (int r = 0; r < ranks; ++r) backends.push_back(make_backend());
  const auto planned = plan_memory(*config, options, ranks, backends[0]->sizing());
  if (!planned) throw StartError(planned.error().message);
  auto comms = make_local_communicators(ranks);
  std::vector<std::unique_ptr<Model>> models;
  for (int r = 0; r < ranks; ++r) {
    models.push_back(load_model(*config, folder, options, *backends[r], *comms[r]));
    if (models[r]->weight_bytes() != planned->weight_bytes) {
      throw StartError("planned " + std::to_string(planned->weight_bytes) + " bytes, loaded " +
                       std::to_string(models[r]->weight_bytes()));
    }
  }
  std::vector<std::vector<float>> logits(static_cast<size_t>(ranks));
  std::vector<std::jthread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      logits[r] = PromptRunner({*models[r], *backends[r], ranks, activation}).run(tiny_prompt());
    });
  }
  threads.clear();
  return logits[0];
}

}  // namespace ernie::model::testing
