#pragma once

#include <cstddef>

#include "ops/backend.h"

namespace ernie::cpu {

// Zeroed memory aligned to 64 bytes; large buffers are mapped lazily and prefer huge pages. Throws
// StartError when the machine has not that much left.
Buffer allocate_host(size_t bytes);

// Physical memory, bounded by the limits of the control groups this process is in.
ops::Backend::MemoryInfo host_memory();

}  // namespace ernie::cpu
