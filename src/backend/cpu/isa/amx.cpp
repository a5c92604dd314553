// The order of these headers matters.
// clang-format off
#include "backend/cpu/simd/vec_avx512.h"
#include "backend/cpu/simd/math.h"
#include "backend/cpu/simd/gemm.h"
#include "backend/cpu/simd/gemm_quantized.h"
#include "backend/cpu/simd/gemm_amx.h"
#include "backend/cpu/simd/expand_bf16.h"
#include "backend/cpu/simd/activation.h"
#include "backend/cpu/simd/rows.h"
#include "backend/cpu/simd/logits.h"
#include "backend/cpu/simd/attention.h"
#include "backend/cpu/simd/table.h"
// clang-format on

namespace ernie::cpu {
namespace {

constexpr Kernels make_amx_kernels() {
  Kernels k = make_kernels();
  k.bf16.gemm_row_step = kTileRows;
  k.bf16.gemm_k_step = kBf16KStep;
  k.bf16.gemm_slice = kSliceBlocks * kBf16KStep;
  k.bf16.gemm_tile_rows = 512;
  k.bf16.packed_rows_bytes = packed_tile_rows_bytes;
  k.bf16.pack_rows = pack_tile_rows;
  k.bf16.gemm = gemm_tile_rows;
  k.bf16.expanded_bytes = sizeof(Bf16Bits);
  k.bf16.expand = expand_bf16<Int8Pairs>;
  k.bf16.gemm_expanded = gemm_tile_rows;
  k.bf16.gemm_expanded_groups = nullptr;
  k.bf16.direct_rows = 0;  // other instructions would add in another order than tiles do
  k.bf16.gemm_quantized = nullptr;
  return k;
}

}  // namespace

constinit const Kernels kAmxKernels = make_amx_kernels();

}  // namespace ernie::cpu
