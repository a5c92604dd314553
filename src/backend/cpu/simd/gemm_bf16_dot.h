#pragma once

// Matrix products with VDPBF16PS, which adds the products of two neighbouring k at once. Include
// simd/gemm.h before. Every element of C is one chain over pairs (k, k + 1) = (0, 1), (2, 3), ...

namespace ernie::cpu {
namespace {

// Packed rows: bfloat16 [rows][k padded with zeros to kBf16KStep, plus a step against cache
// conflicts].
inline int64_t dot_row_stride(int64_t k) {
  return (k + kBf16KStep - 1) / kBf16KStep * kBf16KStep + kBf16KStep;
}

inline size_t packed_dot_rows_bytes(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * dot_row_stride(k)) * sizeof(Bf16Bits);
}

void pack_dot_rows(const PackRows& p) {
  const int64_t stride = dot_row_stride(p.k);
  for (int64_t r = p.first; r < p.first + p.count; ++r) {
    const Bf16Bits* in =
        static_cast<const Bf16Bits*>(p.src) + (p.index ? p.index[r] : r) * p.src_stride;
    Bf16Bits* out = static_cast<Bf16Bits*>(p.dst) + r * stride;
    __builtin_memcpy(out, in, static_cast<size_t>(p.k) * sizeof(Bf16Bits));
    for (int64_t k = p.k; k < stride; ++k) out[k] = 0;
  }
}

// Two neighbouring bfloat16 values in every 32-bit lane.
inline __m512bh splat_pair(const Bf16Bits* p) {
  int pair;
  __builtin_memcpy(&pair, p, sizeof(pair));
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// c[rows][16 panels] (+)= a * b over `pairs` pairs of k.
template <int kRows, int kCount>
inline void dot_kernel(const Bf16Bits* a, int64_t lda, const Bf16Bits* b, int64_t b_stride,
                       int64_t pairs, float* c, int64_t ldc, bool accumulate) {
  __m512 acc[kRows][kCount];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      acc[r][v] = accumulate ? _mm512_loadu_ps(c + r * ldc + v * kPanel) : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < pairs; ++i) {
    __m512bh w[kCount];
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      w[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * b_stride + i * 2 * kPanel));
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512bh x = splat_pair(a + r * lda + i * 2);
#pragma GCC unroll 4
      for (int v = 0; v < kCount; ++v) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], x, w[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) _mm512_storeu_ps(c + r * ldc + v * kPanel, acc[r][v]);
  }
}

template <int kRows>
inline void dot_rows(int count, const Bf16Bits* a, int64_t lda, const Bf16Bits* b, int64_t b_stride,
                     int64_t pairs, float* c, int64_t ldc, bool accumulate) {
  switch (count) {
    case 1:
      return dot_kernel<kRows, 1>(a, lda, b, b_stride, pairs, c, ldc, accumulate);
    case 2:
      return dot_kernel<kRows, 2>(a, lda, b, b_stride, pairs, c, ldc, accumulate);
    case 3:
      return dot_kernel<kRows, 3>(a, lda, b, b_stride, pairs, c, ldc, accumulate);
    case 4:
      return dot_kernel<kRows, 4>(a, lda, b, b_stride, pairs, c, ldc, accumulate);
  }
}

void gemm_dot_rows(const GemmTile& t) {
  constexpr int64_t kSlice = 1024;
  const int64_t lda = dot_row_stride(t.k);
  const int64_t depth = lda - kBf16KStep;
  const Bf16Bits* a = static_cast<const Bf16Bits*>(t.a) + t.row * lda;
  const Bf16Bits* b = static_cast<const Bf16Bits*>(t.b);
  const int64_t b_stride = t.b_k > 0 ? Bf16Panels::stride(t.b_k) : depth * kPanel;
  const int passes = (t.rows + kMaxRows - 1) / kMaxRows;
  const int per_pass = (t.rows + passes - 1) / passes;
  const int64_t slice = passes == 1 ? depth : kSlice;
  const int64_t end = t.k_end < t.k ? t.k_end : depth;
  for (int64_t k = t.k_begin; k < end; k += slice) {
    const int64_t pairs = (end - k < slice ? end - k : slice) / 2;
    const bool more = t.add || k > t.k_begin;
    for (int p = 0; p < t.panels; p += 4) {
      const int count = t.panels - p < 4 ? t.panels - p : 4;
      const Bf16Bits* bp = b + p * b_stride + (k - t.b_begin) * kPanel;
      for (int r = 0; r < t.rows; r += per_pass) {
        const Bf16Bits* ar = a + r * lda + k;
        float* cr = t.c + r * t.ldc + p * kPanel;
        switch (t.rows - r < per_pass ? t.rows - r : per_pass) {
          case 1:
            dot_rows<1>(count, ar, lda, bp, b_stride, pairs, cr, t.ldc, more);
            break;
          case 2:
            dot_rows<2>(count, ar, lda, bp, b_stride, pairs, cr, t.ldc, more);
            break;
          case 3:
            dot_rows<3>(count, ar, lda, bp, b_stride, pairs, cr, t.ldc, more);
            break;
          case 4:
            dot_rows<4>(count, ar, lda, bp, b_stride, pairs, cr, t.ldc, more);
            break;
          case 5:
            dot_rows<5>(count, ar, lda, bp, b_stride, pairs, cr, t.ldc, more);
            break;
          case 6:
            dot_rows<6>(count, ar, lda, bp, b_stride, pairs, cr, t.ldc, more);
            break;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ernie::cpu
