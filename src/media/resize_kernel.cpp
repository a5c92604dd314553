#include "media/resize_kernel.h"

#include <immintrin.h>

#include <algorithm>

namespace ernie::media {
namespace {

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);
constexpr int kVectorLanes = 8;
constexpr int kVectors = kLanes / kVectorLanes;

}  // namespace

void weigh_plain(const Window& window, const uint8_t* in, size_t stride, uint8_t* out) {
  int32_t sums[kLanes];
  std::fill_n(sums, kLanes, kHalf);
  for (int t = 0; t < window.count; ++t, in += stride) {
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += window.weights[t] * in[lane];
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    out[lane] = static_cast<uint8_t>(std::clamp(sums[lane] >> kPrecisionBits, 0, 255));
  }
}

[[gnu::target("avx2")]] void weigh_avx2(const Window& window, const uint8_t* in, size_t stride,
                                        uint8_t* out) {
  __m256i sums[kVectors];
#pragma GCC unroll 6
  for (int v = 0; v < kVectors; ++v) sums[v] = _mm256_set1_epi32(kHalf);
  for (int t = 0; t < window.count; ++t, in += stride) {
    const __m256i weight = _mm256_set1_epi32(window.weights[t]);
#pragma GCC unroll 6
    for (int v = 0; v < kVectors; ++v) {
      const auto* bytes = reinterpret_cast<const __m128i*>(in + kVectorLanes * v);
      const __m256i pixels = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes));
      sums[v] = _mm256_add_epi32(sums[v], _mm256_mullo_epi32(pixels, weight));
    }
  }
#pragma GCC unroll 6
  for (int v = 0; v < kVectors; ++v) {
    const __m256i values = _mm256_srai_epi32(sums[v], kPrecisionBits);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + kVectorLanes * v),
                     _mm_packus_epi16(words, words));  // saturates to 0..255
  }
}

Weigh best_weigh() {
  static const Weigh best = __builtin_cpu_supports("avx2") ? weigh_avx2 : weigh_plain;
  return best;
}

}  // namespace ernie::media
