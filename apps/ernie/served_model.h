#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "obs/metrics.h"
#include "options.h"
#include "serve/chat_service.h"
#include "start_clock.h"

namespace ernie::app {

// A loaded model and what turns requests into answers with it.
class ServedModel {
 public:
  // Reads the checkpoint and starts the engine, saying so on `clock`. `on_fatal` is called once
  // after a device fault. Throws StartError.
  ServedModel(const ServeOptions& options, StartClock& clock, obs::Metrics& metrics,
              std::function<void(const std::string&)> on_fatal);

  engine::Engine& engine() { return *engine_; }
  serve::ChatService& service() { return *service_; }
  const model::ModelConfig& config() const { return config_; }
  const model::ProcessorOptions& processor() const { return processor_; }

 private:
  model::ModelConfig config_;
  model::ProcessorOptions processor_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<serve::ChatService> service_;
};

}  // namespace ernie::app
