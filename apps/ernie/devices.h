#pragma once

#include "comm/communicator.h"
#include "engine/engine.h"
#include "options.h"

namespace ernie::app {

// Whether `options.device` and this machine choose CUDA. Throws StartError when CUDA was asked for
// and there is no GPU.
bool chooses_cuda(const ServeOptions& options);

// Where the ranks run: each on the GPU of its number, or with its share of the CPU's threads.
struct Devices {
  engine::BackendFactory make_backend;
  CommunicatorFactory make_communicators;
  const ops::Sizing& sizing;
};

// Also sets what of `config` depends on the kind of device.
Devices choose_devices(const ServeOptions& options, engine::EngineConfig& config);

}  // namespace ernie::app
