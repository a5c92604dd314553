#pragma once

#include <map>
#include <string>

#include "engine/engine.h"
#include "obs/metrics.h"
#include "serve/chat_service.h"

namespace ernie::app {

// What the engine and the service report, in the terms of the metrics.
obs::RequestTimings to_timings(const serve::RequestRecord& record);
obs::EngineGauges to_gauges(const engine::EngineStats& stats, const engine::EngineConfig& config);
std::map<std::string, std::string> cache_labels(const engine::Engine& engine);

}  // namespace ernie::app
