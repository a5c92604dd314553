#pragma once

#include "engine/engine.h"

namespace ernie::engine {

// Throws StartError that names flag, value and limit.
void check_config(const EngineConfig& config, const model::ModelConfig& model_config);

}  // namespace ernie::engine
