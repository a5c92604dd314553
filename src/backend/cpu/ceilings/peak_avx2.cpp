#include <immintrin.h>

#include "backend/cpu/ceilings/ceilings.h"

namespace ernie::cpu {

double run_peak_avx2(int64_t rounds) {
  constexpr int kSums = 12;
  __m256 sum[kSums];
  for (__m256& s : sum) s = _mm256_set1_ps(1.0f);
  __m256 x = _mm256_set1_ps(0.5f);
  asm volatile("" : "+x"(x));
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (__m256& s : sum) s = _mm256_fmadd_ps(s, x, x);
  }
#pragma GCC unroll 12
  for (__m256& s : sum) asm volatile("" ::"x"(s));
  return static_cast<double>(rounds) * kSums * 8 * 2;
}

}  // namespace ernie::cpu
