#pragma once

// Vector primitives of the x86-64 baseline. Included by exactly one translation unit: everything is
// internal to it, so that no code compiled for one instruction set can be linked into another.

#include <emmintrin.h>

#include "backend/cpu/kernels.h"

namespace ernie::cpu {
namespace {

struct Vec {
  static constexpr int kLanes = 4;
  __m128 v;
};

inline Vec splat(float x) { return {_mm_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm_loadu_ps(p)}; }
inline Vec load(const Bf16Bits* p) {
  const __m128i half = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return {_mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), half))};
}
inline Vec load(const uint8_t* p) {
  const __m128i zero = _mm_setzero_si128();
  const int word = p[0] | p[1] << 8 | p[2] << 16 | p[3] << 24;
  const __m128i bytes = _mm_unpacklo_epi8(_mm_cvtsi32_si128(word), zero);
  return {_mm_cvtepi32_ps(_mm_unpacklo_epi16(bytes, zero))};
}
inline Vec load(const int8_t* p) {
  return {_mm_cvtepi32_ps(_mm_setr_epi32(p[0], p[1], p[2], p[3]))};
}
// Bits [shift, shift + 4) of each of kLanes words, as signed numbers.
inline Vec load_nibbles(const uint32_t* p, int shift) {
  const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm_cvtepi32_ps(_mm_srai_epi32(_mm_slli_epi32(words, 28 - shift), 28))};
}
inline void store(float* p, Vec a) { _mm_storeu_ps(p, a.v); }
inline void store(Bf16Bits* p, Vec a) {
  const __m128i u = _mm_castps_si128(a.v);
  const __m128i odd = _mm_and_si128(_mm_srli_epi32(u, 16), _mm_set1_epi32(1));
  const __m128i rounded = _mm_add_epi32(u, _mm_add_epi32(odd, _mm_set1_epi32(0x7fff)));
  const __m128i quiet = _mm_or_si128(u, _mm_set1_epi32(0x400000));
  const __m128i nan = _mm_castps_si128(_mm_cmpunord_ps(a.v, a.v));
  const __m128i bits = _mm_or_si128(_mm_and_si128(nan, quiet), _mm_andnot_si128(nan, rounded));
  const __m128i high = _mm_srai_epi32(bits, 16);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi32(high, high));
}

// Whether stream_line() is there; see vec_avx512.h.
constexpr bool kStreamsLines = false;

inline Vec operator+(Vec a, Vec b) { return {_mm_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm_div_ps(a.v, b.v)}; }
// a * b + c; rounded once where the instruction set can, else twice.
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
// Both return b when either is NaN.
inline Vec max(Vec a, Vec b) { return {_mm_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm_min_ps(a.v, b.v)}; }
// a > b ? x : y, lane by lane
inline Vec select_greater(Vec a, Vec b, Vec x, Vec y) {
  const __m128 m = _mm_cmpgt_ps(a.v, b.v);
  return {_mm_or_ps(_mm_and_ps(m, x.v), _mm_andnot_ps(m, y.v))};
}
inline Vec abs(Vec a) { return {_mm_andnot_ps(_mm_set1_ps(-0.0f), a.v)}; }
// Nearest integer; |a| < 2^31.
inline Vec round(Vec a) { return {_mm_cvtepi32_ps(_mm_cvtps_epi32(a.v))}; }
// a * 2^n for integral n in [-127, 127]
inline Vec scale_by_power_of_two(Vec a, Vec n) {
  const __m128i e = _mm_add_epi32(_mm_cvtps_epi32(n.v), _mm_set1_epi32(127));
  return {_mm_mul_ps(a.v, _mm_castsi128_ps(_mm_slli_epi32(e, 23)))};
}
// (a0, a1, a2, a3) -> (a1, a0, a3, a2)
inline Vec swap_pairs(Vec a) { return {_mm_shuffle_ps(a.v, a.v, 0xB1)}; }

// Keeps the compiler from moving other instructions across, which would need more registers than
// there are.
inline void pin(Vec& a) { asm volatile("" : "+x"(a.v)); }

// The even and the odd elements of 2 * kLanes consecutive bfloat16 values.
inline Vec load_even(const Bf16Bits* p) {
  const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm_castsi128_ps(_mm_slli_epi32(raw, 16))};
}
inline Vec load_odd(const Bf16Bits* p) {
  const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm_castsi128_ps(_mm_and_si128(raw, _mm_set1_epi32(static_cast<int>(0xffff0000u))))};
}

// Register blocking of the matrix kernel: how many 16-column panels to take at once with `rows`
// rows.
constexpr int panels_at_once(int rows) { return rows == 1 ? 2 : 1; }
constexpr int kMaxRows = 3;

}  // namespace
}  // namespace ernie::cpu
