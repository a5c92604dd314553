#pragma once

#include <string>

#include "model/config.h"

namespace ernie::app {

struct ModelChoice {
  model::ModelConfig config;
  std::string folder;  // of a checkpoint; empty: no files but a configuration
};

// What --model names: a checkpoint (a folder or a hub name), a config.json or a built-in geometry.
// Throws StartError.
ModelChoice choose_model(const std::string& model);

}  // namespace ernie::app
