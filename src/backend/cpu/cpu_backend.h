#pragma once

#include <memory>
#include <string>

#include "ops/backend.h"

namespace ernie::cpu {

// Instruction sets the kernels are written for, slowest first.
enum class Isa { kGeneric, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// The best instruction set of this machine, or the one named by the environment variable
// ERNIE_CPU_ISA (generic, avx2, avx512, avx512_bf16, amx) if the machine has it.
Isa best_isa();
const char* isa_name(Isa isa);

struct CpuBackendOptions {
  int threads = 0;  // 0 = one per core of the process's affinity mask
  Isa isa = best_isa();
};

// A backend on the host's processors, with a thread pool of its own.
std::unique_ptr<ops::Backend> make_cpu_backend(const CpuBackendOptions& options = {});

// What such a backend takes, whatever the machine.
const ops::Sizing& cpu_sizing();

}  // namespace ernie::cpu
