// The order of these headers matters.
// clang-format off
#include "backend/cpu/simd/vec_avx512.h"
#include "backend/cpu/simd/math.h"
#include "backend/cpu/simd/gemm.h"
#include "backend/cpu/simd/gemm_quantized.h"
#include "backend/cpu/simd/gemm_bf16_dot.h"
#include "backend/cpu/simd/expand_bf16.h"
#include "backend/cpu/simd/gemm_quantized_dot.h"
#include "backend/cpu/simd/activation.h"
#include "backend/cpu/simd/rows.h"
#include "backend/cpu/simd/logits.h"
#include "backend/cpu/simd/attention.h"
#include "backend/cpu/simd/table.h"
// clang-format on

namespace ernie::cpu {
namespace {

constexpr Kernels make_bf16_dot_kernels() {
  Kernels k = make_kernels();
  k.bf16.gemm_tile_rows = 32 * kMaxRows;
  k.bf16.packed_rows_bytes = packed_dot_rows_bytes;
  k.bf16.pack_rows = pack_dot_rows;
  k.bf16.gemm = gemm_dot_rows;
  k.bf16.expanded_bytes = sizeof(Bf16Bits);
  k.bf16.expand = expand_bf16<Int8TablePairs>;
  k.bf16.gemm_expanded = gemm_dot_rows;
  k.bf16.gemm_expanded_groups = gemm_expanded_groups<ExpandedDotStep, Bf16Pairs>;
  k.bf16.gemm_quantized = gemm_quantized_dot;
  return k;
}

}  // namespace

constinit const Kernels kAvx512Bf16Kernels = make_bf16_dot_kernels();

}  // namespace ernie::cpu
