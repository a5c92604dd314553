#pragma once

#include <spdlog/spdlog.h>

// One logger for the program, on stderr. Log lines never hold prompts, pictures, keys or whole
// URLs.
namespace ernie::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace ernie::log
