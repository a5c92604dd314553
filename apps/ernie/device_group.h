#pragma once

#include <string>

#include "ops/device.h"
#include "ops/sizing.h"

namespace ernie::app {

// Devices that a model is planned for, all alike.
struct DeviceGroup {
  std::string name;  // as typed
  int count = 1;     // the tensor-parallel size
  bool is_cpu = false;
  bool known_size = true;     // false: total_bytes is a guess from the size in the name
  size_t total_bytes = 0;     // of each device
  size_t reserved_bytes = 0;  // of these, what the driver's context takes

  ops::Device::MemoryInfo memory() const {
    return {total_bytes, total_bytes - reserved_bytes, is_cpu};
  }
  const ops::Sizing& sizing() const;
};

// --gpus: COUNTxSIZEG, such as 2x141G, or cpu, which is this machine. Throws StartError.
DeviceGroup parse_device_group(const std::string& text);

}  // namespace ernie::app
