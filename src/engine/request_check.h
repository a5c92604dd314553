#pragma once

#include "engine/engine.h"
#include "sched/planner.h"

namespace ernie::engine {

// Refuses a request that this engine could never serve. Pure; any thread.
Status check_request(const GenerationRequest& request, const EngineConfig& config,
                     const model::ModelConfig& model_config, const model::StepLimits& limits,
                     const sched::SchedulerConfig& scheduler, const ops::SamplerLimits& sampler);

// Generated tokens after which a request ends at the latest.
int max_generated(const GenerationRequest& request, const EngineConfig& config);

}  // namespace ernie::engine
