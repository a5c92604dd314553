#include <immintrin.h>

#include "backend/cpu/ceilings/ceilings.h"

namespace ernie::cpu {

double run_peak_avx512(int64_t rounds) {
  constexpr int kSums = 16;
  __m512 sum[kSums];
  for (__m512& s : sum) s = _mm512_set1_ps(1.0f);
  __m512 x = _mm512_set1_ps(0.5f);
  asm volatile("" : "+v"(x));
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (__m512& s : sum) s = _mm512_fmadd_ps(s, x, x);
  }
#pragma GCC unroll 16
  for (__m512& s : sum) asm volatile("" ::"v"(s));
  return static_cast<double>(rounds) * kSums * 16 * 2;
}

}  // namespace ernie::cpu
