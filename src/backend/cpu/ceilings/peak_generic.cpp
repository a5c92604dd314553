#include <immintrin.h>

#include "backend/cpu/ceilings/ceilings.h"

namespace ernie::cpu {

double run_peak_generic(int64_t rounds) {
  constexpr int kSums = 12;
  __m128 sum[kSums];
  for (__m128& s : sum) s = _mm_set1_ps(1.0f);
  __m128 x = _mm_set1_ps(0.5f);
  asm volatile("" : "+x"(x));
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (__m128& s : sum) s = _mm_add_ps(_mm_mul_ps(s, x), x);
  }
#pragma GCC unroll 12
  for (__m128& s : sum) asm volatile("" ::"x"(s));
  return static_cast<double>(rounds) * kSums * 4 * 2;
}

}  // namespace ernie::cpu
