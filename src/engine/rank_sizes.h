#pragma once

#include "engine/engine.h"
#include "engine/model_runner.h"
#include "engine/model_source.h"

// What a configuration asks of each rank.
namespace ernie::engine {

model::LoadOptions load_options(const EngineConfig& config, const model::ModelConfig& model_config,
                                int rank);

RunnerSizes runner_sizes(const EngineConfig& config, const model::ModelConfig& model_config,
                         const ModelSource& source, const MemoryReport& memory);

// The largest step as the backend sees it.
ops::WorkShape work_shape(const EngineConfig& config, const model::ModelConfig& model_config,
                          const ModelSource& source);

// Divides the memory of the device that has least of it. Throws StartError.
MemoryReport plan_ranks(const EngineConfig& config, const model::ModelConfig& model_config,
                        const ModelSource& source, const ops::Device::MemoryInfo& least,
                        const ops::Sizing& sizing);

}  // namespace ernie::engine
