#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"

namespace ernie::model {

// Reads an environment variable; nullopt when it is not set. Tests pass their own.
using Environment = std::function<std::optional<std::string>(const char* name)>;
Environment process_environment();

// The folder of a checkpoint for the value of --model: a folder itself, or a hub name such as
// "baidu/ERNIE-4.5-VL-28B-A3B-Paddle" looked up in the local caches of Hugging Face, ModelScope and
// AI Studio (FastDeploy). Nothing is downloaded. Errors list the places that were searched and say
// how to get the model.
Result<std::string> resolve_model(const std::string& model,
                                  const Environment& environment = process_environment());

}  // namespace ernie::model
