// The order of these headers matters.
// clang-format off
#include "backend/cpu/simd/vec_avx2.h"
#include "backend/cpu/simd/math.h"
#include "backend/cpu/simd/gemm.h"
#include "backend/cpu/simd/gemm_quantized.h"
#include "backend/cpu/simd/activation.h"
#include "backend/cpu/simd/rows.h"
#include "backend/cpu/simd/logits.h"
#include "backend/cpu/simd/attention.h"
#include "backend/cpu/simd/table.h"
// clang-format on

namespace ernie::cpu {

constinit const Kernels kAvx2Kernels = make_kernels();

}  // namespace ernie::cpu
