#include <immintrin.h>

#include "backend/cpu/ceilings/ceilings.h"

namespace ernie::cpu {

double run_peak_avx512_bf16(int64_t rounds) {
  constexpr int kSums = 16;
  __m512 sum[kSums];
  for (__m512& s : sum) s = _mm512_set1_ps(1.0f);
  __m512i bits = _mm512_set1_epi32(0x3f803f80);
  asm volatile("" : "+v"(bits));
  const __m512bh x = reinterpret_cast<__m512bh>(bits);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (__m512& s : sum) s = _mm512_dpbf16_ps(s, x, x);
  }
#pragma GCC unroll 16
  for (__m512& s : sum) asm volatile("" ::"v"(s));
  return static_cast<double>(rounds) * kSums * 32 * 2;
}

}  // namespace ernie::cpu
