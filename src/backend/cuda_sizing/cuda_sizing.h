#pragma once

#include "ops/sizing.h"

namespace ernie::cuda {

// What a CUDA backend takes and can do, in every build. `arch` says whose kernels it has: 80 or 90,
// as kernels::arch(). With those for sm_80 it takes no less.
const ops::Sizing& cuda_sizing(int arch = 80);

}  // namespace ernie::cuda
