#pragma once

#include <optional>
#include <string>
#include <vector>

#include "device_group.h"
#include "model/config.h"
#include "options.h"

namespace ernie::app {

// Everything `ernie plan` was told.
struct PlanOptions {
  std::string model_name;
  model::ModelConfig config;  // with a head of its own if the checkpoint stores one
  bool has_checkpoint = false;
  ServeOptions serve;        // for one device
  std::string quantization;  // as typed; empty: not given
  std::optional<DeviceGroup> devices;
  bool json = false;
};

// The command line after "plan". Reads the model's configuration, and the names of a checkpoint's
// tensors. Throws StartError that names flag, value and limit.
PlanOptions parse_plan_options(std::vector<std::string> args, const Environment& environment);

// The text of `ernie plan --help`.
std::string plan_help();

}  // namespace ernie::app
