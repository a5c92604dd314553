#pragma once

#include <functional>

#include "engine/engine.h"

namespace ernie::engine {

// What a device must hold for a given largest number of tokens in a step.
struct DeviceNeeds {
  size_t weight_bytes = 0;
  size_t workspace_bytes = 0;  // of the model, plus inputs and logits of a step
  size_t block_bytes = 0;      // of one key-value block
  size_t feature_bytes = 0;    // of one token in the encoder cache; 0 without a vision tower
};

// Limits of one step under a configuration; media units may stretch it past the token budget.
model::StepLimits step_limits(const EngineConfig& config, const model::ModelConfig& model_config);

// Divides the device's memory. An encoder cache that no flag asks for holds 16 of the largest
// pictures, but takes at most a twentieth of what one sequence of max_model_len (or the blocks that
// were asked for) leaves. `needs` says what one rank takes when max_num_batched_tokens is the
// given number; `ranks_on_device` ranks share what `free_bytes` counts. Throws StartError with the
// numbers, and with the flags that would make it fit, when the cache cannot hold one sequence of
// max_model_len.
MemoryReport plan_device_memory(
    const EngineConfig& config, const ops::Backend::MemoryInfo& info, int ranks_on_device,
    const std::function<DeviceNeeds(int max_num_batched_tokens)>& needs);

}  // namespace ernie::engine
