#pragma once

// Vector primitives of AVX-512 (F, BW, DQ, VL). Included by exactly one translation unit per
// instruction set; see vec_sse2.h, which documents them.

#include <immintrin.h>

#include "backend/cpu/kernels.h"

namespace ernie::cpu {
namespace {

struct Vec {
  static constexpr int kLanes = 16;
  __m512 v;
};

inline Vec splat(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const Bf16Bits* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
inline Vec load(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
}
inline Vec load(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}
inline Vec load_nibbles(const uint32_t* p, int shift) {
  const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  const __m512i words = _mm512_loadu_si512(p);
  // Only the lower four bits of an index count.
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(words, static_cast<unsigned>(shift)), values)};
}
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline __m256i to_bf16(Vec a) {
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i high = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16);
  return _mm512_cvtepi32_epi16(high);
}
inline void store(Bf16Bits* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16(a));
}

// Writes one whole line of the cache to memory without reading it first. A fence must come before
// other threads read it.
constexpr bool kStreamsLines = true;
inline void stream_line(Bf16Bits* p, Vec a, Vec b) {
  const __m512i line = _mm512_inserti64x4(_mm512_castsi256_si512(to_bf16(a)), to_bf16(b), 1);
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), line);
}

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), y.v, x.v)};
}
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Vec scale_by_power_of_two(Vec a, Vec n) {
  const __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_mul_ps(a.v, _mm512_castsi512_ps(_mm512_slli_epi32(e, 23)))};
}
inline Vec swap_pairs(Vec a) { return {_mm512_permute_ps(a.v, 0xB1)}; }

// Keeps the compiler from moving other instructions across, which would need more registers than
// there are.
inline void pin(Vec& a) { asm volatile("" : "+v"(a.v)); }

inline Vec load_even(const Bf16Bits* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
inline Vec load_odd(const Bf16Bits* p) {
  const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), mask))};
}

// 32 registers: 24 sums, 4 weights, broadcasts.
constexpr int panels_at_once(int rows) { return rows > 0 ? 4 : 0; }
constexpr int kMaxRows = 6;

}  // namespace
}  // namespace ernie::cpu
