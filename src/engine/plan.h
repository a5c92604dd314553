#pragma once

#include "engine/engine.h"

namespace ernie::engine {

// Weights, work buffers and the smallest cache exceed the memory that may be used. what() has the
// numbers and the flags that would make them fit.
class NotEnoughMemory : public StartError {
 public:
  NotEnoughMemory(std::string message, const MemoryReport& report)
      : StartError(std::move(message)), report_(report) {}
  // With the blocks that fit, fewer than are needed.
  const MemoryReport& report() const { return report_; }

 private:
  MemoryReport report_;
};

// What Engine::start() would report on devices of this kind with this memory each. Only the names
// of a checkpoint's tensors are read, and nothing at all of dummy weights. Throws StartError as
// Engine::start() does: NotEnoughMemory where the model does not fit.
MemoryReport plan(const model::ModelConfig& model_config, const EngineConfig& config,
                  const ops::Device::MemoryInfo& device, const ops::Sizing& sizing);

}  // namespace ernie::engine
