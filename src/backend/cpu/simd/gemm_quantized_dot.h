#pragma once

// Products of a few bfloat16 rows straight from quantised panels with VDPBF16PS. Include
// simd/gemm_bf16_dot.h and simd/expand_bf16.h before. Every sum is the chain of gemm_bf16_dot.h.

namespace ernie::cpu {
namespace {

// c[rows][16 panels] = a * b over columns [begin, end), begin a multiple of 8; with scales, those
// of this group in the first panel, c (+)= a * b * scales.
template <class Pairs, int kRows, int kCount>
inline void quantized_dot_kernel(const Bf16Bits* a, int64_t lda, const char* b, int64_t stride,
                                 int64_t begin, int64_t end, float* c, int64_t ldc,
                                 const Bf16Bits* scales, bool add) {
  __m512 acc[kRows][kCount];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) acc[r][v] = _mm512_setzero_ps();
  }
  // Rows and panels are padded with zeros.
  for (int64_t block = begin / kQuantizedKStep; block * kQuantizedKStep < end; ++block) {
#pragma GCC unroll 4
    for (int pair = 0; pair < kPairs; ++pair) {
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) {
        const auto w = reinterpret_cast<__m512bh>(Pairs::load_pair(b + v * stride, block, pair));
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m512bh x = splat_pair(a + r * lda + block * kQuantizedKStep + pair * 2);
          acc[r][v] = _mm512_dpbf16_ps(acc[r][v], x, w);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      put_scaled(c + r * ldc + v * kPanel, Vec{acc[r][v]},
                 scales == nullptr ? nullptr : scales_of(scales, stride, v), add);
    }
  }
}

template <class Pairs, int kRows>
void quantized_dot_rows(const GemmTile& t, const QuantizedPanels& b) {
  const int64_t lda = dot_row_stride(t.k);
  const Bf16Bits* a = static_cast<const Bf16Bits*>(t.a) + t.row * lda;
  for_panels_and_groups<4>(
      t, b, [&](int p, int count, int64_t begin, int64_t end, const Bf16Bits* scales, bool add) {
        auto run = [&](auto n) {
          quantized_dot_kernel<Pairs, kRows, decltype(n)::kValue>(
              a, lda, b.values + p * b.stride, b.stride, begin, end, t.c + p * kPanel, t.ldc,
              scales, add);
        };
        switch (count) {
          case 1:
            return run(Count<1>{});
          case 2:
            return run(Count<2>{});
          case 3:
            return run(Count<3>{});
          case 4:
            return run(Count<4>{});
        }
      });
}

template <class Pairs>
void gemm_quantized_pairs(const GemmTile& t, const QuantizedPanels& b) {
  switch (t.rows) {
    case 1:
      return quantized_dot_rows<Pairs, 1>(t, b);
    case 2:
      return quantized_dot_rows<Pairs, 2>(t, b);
    case 3:
      return quantized_dot_rows<Pairs, 3>(t, b);
    case 4:
      return quantized_dot_rows<Pairs, 4>(t, b);
  }
}

void gemm_quantized_dot(const GemmTile& t, const QuantizedPanels& b) {
  b.int4 ? gemm_quantized_pairs<Int4Pairs>(t, b) : gemm_quantized_pairs<Int8Pairs>(t, b);
}

}  // namespace
}  // namespace ernie::cpu
