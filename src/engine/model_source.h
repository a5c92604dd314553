#pragma once

#include <functional>
#include <memory>

#include "engine/engine.h"

namespace ernie::engine {

// Where the ranks' models come from; the engine's own tests put a model of their own here.
struct ModelSource {
  std::function<Result<model::MemoryNeeds>(const model::LoadOptions&, const ops::Sizing&)> plan;
  std::function<std::unique_ptr<model::Model>(const model::LoadOptions&, ops::Backend&,
                                              Communicator&)>
      load;
  int ranks = 1;  // that the model is cut across, which need not all be here
};

// What Engine::start() loads: the model as its checkpoint stores it. Throws StartError when it
// cannot be cut across the ranks.
model::ModelConfig stored_model(const model::ModelConfig& model_config, const EngineConfig& config);

// The part of it that is served.
model::ModelConfig served_model(const model::ModelConfig& stored, const EngineConfig& config);

// ModelSource::plan of that model.
std::function<Result<model::MemoryNeeds>(const model::LoadOptions&, const ops::Sizing&)>
weight_planner(const model::ModelConfig& stored, const EngineConfig& config);

// Engine::start() with another source. Throws StartError.
std::unique_ptr<Engine> start_engine(
    const model::ModelConfig& model_config, EngineConfig config, const BackendFactory& make_backend,
    const ModelSource& source,
    const CommunicatorFactory& make_communicators = make_host_communicators);

}  // namespace ernie::engine
