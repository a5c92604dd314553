#pragma once

#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels.h"

namespace ernie::cpu {

// Whether this processor and operating system run the instruction set. For AMX this asks the system
// for the permission to use its registers, which then holds for the whole process.
bool isa_supported(Isa isa);

// All instruction sets of this machine, slowest first.
std::vector<Isa> supported_isas();

const Kernels& kernels_of(Isa isa);

}  // namespace ernie::cpu
