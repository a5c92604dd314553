#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/common/cache_type.h"

// The arithmetic of a quantised cache. A head of a token is quantised once, when it is written:
//   scale = absmax / limit, rounded to bfloat16
//   cell = element / scale in float32, clamped to the limits, rounded to the nearest, ties to even
// Zeros get scale 0 and cells 0. Where an element is not finite, the scale is not either and the
// cells are 0.
namespace ernie::kernels {

template <CacheType kCache>
constexpr float kCellLimit = kCache == CacheType::kInt8 ? 127.0f : 448.0f;

template <CacheType kCache>
__device__ __forceinline__ __nv_bfloat16 cell_scale(float absmax) {
  return __float2bfloat16_rn(__fdiv_rn(absmax, kCellLimit<kCache>));
}

template <CacheType kCache>
__device__ __forceinline__ uint8_t to_cell(float x, float scale) {
  if (scale == 0.0f || !isfinite(scale)) return 0;
  constexpr float kLimit = kCellLimit<kCache>;
  const float cell = fminf(fmaxf(__fdiv_rn(x, scale), -kLimit), kLimit);
  if constexpr (kCache == CacheType::kInt8) {
    return static_cast<uint8_t>(static_cast<int8_t>(__float2int_rn(cell)));
  } else {
    return __nv_cvt_float_to_fp8(cell, __NV_SATFINITE, __NV_E4M3);
  }
}

// The numbers in byte kFirst of `a` and byte kSecond of `b` as two bfloat16, which hold them
// exactly.
template <CacheType kCache, int kFirst, int kSecond>
__device__ __forceinline__ uint32_t cells_to_bf16(uint32_t a, uint32_t b) {
  const auto as_pair = [](const uint32_t& x) {
    return *reinterpret_cast<const __nv_bfloat162*>(&x);
  };
  __nv_bfloat162 numbers;
  if constexpr (kCache == CacheType::kInt8) {
    // 128 and the lower seven bits, minus 128 or, of a negative number, 256.
    const uint32_t cells = __byte_perm(a, b, kFirst | (4 + kSecond) << 8);
    numbers = __hsub2(as_pair((cells & 0x007f007fu) | 0x43004300u),
                      as_pair((cells & 0x00800080u) | 0x43004300u));
  } else {
    // With the exponent in its place the number is 2^120 times too small, its bias being 7.
    const uint32_t cells = __byte_perm(a, b, kFirst << 4 | (4 + kSecond) << 12);
    numbers =
        __hmul2(as_pair((cells & 0x80008000u) | (cells >> 4 & 0x07f007f0u)), as_pair(0x7b807b80u));
  }
  return *reinterpret_cast<const uint32_t*>(&numbers);
}

// The numbers in four bytes.
template <CacheType kCache>
__device__ __forceinline__ void cells_to_floats(uint32_t cells, float* out) {
  const auto put = [&](uint32_t pair, float* to) {
    to[0] = __uint_as_float(pair << 16);
    to[1] = __uint_as_float(pair & 0xffff0000u);
  };
  put(cells_to_bf16<kCache, 0, 1>(cells, cells), out);
  put(cells_to_bf16<kCache, 2, 3>(cells, cells), out + 2);
}

}  // namespace ernie::kernels
