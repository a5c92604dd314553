#include "engine/plan.h"

#include "engine/config_check.h"
#include "engine/model_source.h"
#include "engine/rank_sizes.h"

namespace ernie::engine {

model::ModelConfig stored_model(const model::ModelConfig& model_config,
                                const EngineConfig& config) {
  take(model::check_tensor_parallel(model_config, config.tensor_parallel_size));
  return config.load_choice == model::LoadChoice::kCheckpoint
             ? model::with_stored_head(model_config, config.model_dir)
             : model_config;
}

model::ModelConfig served_model(const model::ModelConfig& stored, const EngineConfig& config) {
  return config.text_only ? model::without_vision(stored) : stored;
}

std::function<Result<model::MemoryNeeds>(const model::LoadOptions&, const ops::Sizing&)>
weight_planner(const model::ModelConfig& stored, const EngineConfig& config) {
  return [stored, ranks = config.tensor_parallel_size](const model::LoadOptions& options,
                                                       const ops::Sizing& sizing) {
    return model::plan_memory(stored, options, ranks, sizing);
  };
}

MemoryReport plan(const model::ModelConfig& model_config, const EngineConfig& config,
                  const ops::Device::MemoryInfo& device, const ops::Sizing& sizing) {
  const model::ModelConfig stored = stored_model(model_config, config);
  const model::ModelConfig served = served_model(stored, config);
  check_config(config, served);
  return plan_ranks(
      config, served,
      {.plan = weight_planner(stored, config), .load = {}, .ranks = config.tensor_parallel_size},
      device, sizing);
}

}  // namespace ernie::engine
