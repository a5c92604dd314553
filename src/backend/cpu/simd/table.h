#pragma once

// Builds the function table of an instruction set. Include the other simd headers before.

namespace ernie::cpu {
namespace {

template <class T>
constexpr TypedKernels make_typed_kernels() {
  TypedKernels k;
  k.element_bytes = sizeof(T);
  k.gemm_row_step = 1;
  k.gemm_k_step = PanelsOf<T>::Type::kStep;
  k.gemm_tile_rows = 16 * kMaxRows;
  k.packed_rows_bytes = packed_float_rows_bytes;
  k.pack_rows = pack_float_rows<T>;
  k.gemm = gemm_float_rows<typename PanelsOf<T>::Type>;
  k.expanded_bytes = sizeof(float);
  k.expand = expand_f32;
  k.gemm_expanded = gemm_float_rows<F32Panels>;
  k.gemm_expanded_groups = gemm_expanded_groups<FloatStep, F32Values>;
  k.direct_rows = kDirectRows;
  k.gemm_quantized = gemm_quantized;
  k.scale_tile = scale_tile;
  k.store_tile = store_tile<T>;
  k.swiglu_tile = swiglu_tile<T>;
  k.add_scaled = add_scaled;
  k.rms_norm = rms_norm<T>;
  k.layer_norm = layer_norm<T>;
  k.add = add<T>;
  k.swiglu_row = swiglu_row<T>;
  k.rotate_pairs = rotate_pairs<T>;
  k.rotate_halves = rotate_halves<T>;
  k.router = router<T>;
  k.from_float = from_float<T>;
  k.to_float = to_float<T>;
  k.normalize = normalize<T>;
  k.attention = attention<T>;
  k.attention_scratch_floats = attention_scratch_floats;
  return k;
}

constexpr Kernels make_kernels() {
  Kernels k;
  k.f32 = make_typed_kernels<float>();
  k.bf16 = make_typed_kernels<Bf16Bits>();
  k.row_maximum = row_maximum;
  k.exp_sum = exp_sum;
  k.mass_above = mass_above;
  k.drop_below = drop_below;
  return k;
}

}  // namespace
}  // namespace ernie::cpu
