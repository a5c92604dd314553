#pragma once

// Products of a few bfloat16 rows straight from quantised panels with VDPBF16PS. Include
// simd/gemm_bf16_dot.h and simd/expand_bf16.h before. Every sum is the chain of gemm_bf16_dot.h.

namespace ernie::cpu {
namespace {

// The two bytes of a bfloat16 by its magnitude, and where the bytes of two pairs come from: columns
// k, k + 1, k + 2 and k + 3 in lanes of 16 lower bytes, then as many higher bytes.
struct alignas(64) ByteTables {
  uint8_t lower[128] = {};
  uint8_t higher[128] = {};
  uint8_t pairs[2][64] = {};
  constexpr ByteTables() {
    for (int i = 1; i < 128; ++i) {
      const uint32_t bits = __builtin_bit_cast(uint32_t, static_cast<float>(i));
      lower[i] = bits >> 16 & 0xff;
      higher[i] = bits >> 24;
    }
    for (int i = 0; i < 64; ++i) {
      const int output = i / 4, k = i / 2 % 2;
      for (int pair = 0; pair < 2; ++pair) {
        pairs[pair][i] = static_cast<uint8_t>(i % 2 * 64 + (pair * 2 + k) * kPanel + output);
      }
    }
  }
};
constexpr ByteTables kByteTables;

// Int8Pairs with fewer instructions, by VPERMI2B.
struct Int8TablePairs {
  static constexpr int kBits = 8;
  static void load(const char* panel, int64_t block, int half, __m512i (&pairs)[2]) {
    const ByteTables& t = kByteTables;
    const __m512i q = _mm512_loadu_si512(panel + (block * kQuantizedKStep + half * kHalf) * kPanel);
    const __m512i least = _mm512_set1_epi8(-128);
    const __m512i magnitude = _mm512_abs_epi8(q);
    const __m512i lower = look_up(t.lower, magnitude);
    __m512i higher = look_up(t.higher, magnitude);
    higher = _mm512_ternarylogic_epi32(higher, q, least, 0xf8);  // higher | (q & least)
    // The tables end at 127.
    higher = _mm512_mask_mov_epi8(higher, _mm512_cmpeq_epi8_mask(q, least),
                                  _mm512_set1_epi8(static_cast<char>(0xc3)));
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      pairs[i] = _mm512_permutex2var_epi8(lower, _mm512_load_si512(t.pairs[i]), higher);
    }
  }

 private:
  static __m512i look_up(const uint8_t (&table)[128], __m512i index) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), index, _mm512_load_si512(table + 64));
  }
};

template <class Pairs, int kRowCount, int kPanelCount>
struct DotStep {
  using Values = Pairs;
  using Element = Bf16Bits;
  static constexpr int kRows = kRowCount;
  static constexpr int kCount = kPanelCount;
  using Sums = Vec[kRows][kCount];

  static int64_t row_stride(int64_t k) { return dot_row_stride(k); }
  static void whole_block(Sums& sum, const Bf16Bits* a, int64_t lda, const QuantizedPanels& b,
                          int64_t block) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m512i w[kCount][2];
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) Pairs::load(b.values + v * b.stride, block, half, w[v]);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m512bh x =
              splat_pair(a + r * lda + block * kQuantizedKStep + half * kHalf + i * 2);
#pragma GCC unroll 4
          for (int v = 0; v < kCount; ++v) {
            sum[r][v].v = _mm512_dpbf16_ps(sum[r][v].v, x, reinterpret_cast<__m512bh>(w[v][i]));
          }
        }
      }
    }
  }
  // Rows and panels are padded with zeros.
  static void part_of_block(Sums& sum, const Bf16Bits* a, int64_t lda, const QuantizedPanels& b,
                            int64_t block, int64_t) {
    whole_block(sum, a, lda, b, block);
  }
};

// What expand_bf16() wrote.
struct Bf16Pairs {
  static constexpr int kBits = 16;
  static __m512bh load(const char* panel, int64_t block, int pair) {
    const auto* at = reinterpret_cast<const Bf16Bits*>(panel) + block * kQuantizedKStep * kPanel;
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(at + pair * 2 * kPanel));
  }
};

// DotStep with registers to spare.
template <class Pairs, int kRowCount, int kPanelCount>
struct ExpandedDotStep : DotStep<Pairs, kRowCount, kPanelCount> {
  static void whole_block(Vec (&sum)[kRowCount][kPanelCount], const Bf16Bits* a, int64_t lda,
                          const QuantizedPanels& b, int64_t block) {
#pragma GCC unroll 4
    for (int pair = 0; pair < kQuantizedKStep / 2; ++pair) {
#pragma GCC unroll 4
      for (int v = 0; v < kPanelCount; ++v) {
        const __m512bh w = Pairs::load(b.values + v * b.stride, block, pair);
#pragma GCC unroll 8
        for (int r = 0; r < kRowCount; ++r) {
          const __m512bh x = splat_pair(a + r * lda + block * kQuantizedKStep + pair * 2);
          sum[r][v].v = _mm512_dpbf16_ps(sum[r][v].v, x, w);
        }
      }
    }
  }
  static void part_of_block(Vec (&sum)[kRowCount][kPanelCount], const Bf16Bits* a, int64_t lda,
                            const QuantizedPanels& b, int64_t block, int64_t) {
    whole_block(sum, a, lda, b, block);
  }
};

void gemm_quantized_dot(const GemmTile& t, const QuantizedPanels& b) {
  b.int4 ? quantized_few_rows<DotStep, Int4Pairs>(t, b)
         : quantized_few_rows<DotStep, Int8TablePairs>(t, b);
}

}  // namespace
}  // namespace ernie::cpu
