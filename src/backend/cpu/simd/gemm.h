#pragma once

// Matrix products over packed panels with float32 rows of A. Include one simd/vec_*.h before.
//
// Every element of C is one chain c = fma(a[k], b[k], c) over k = 0, 1, 2, ..., whatever the shape
// of the register block it was computed in.

namespace ernie::cpu {
namespace {

constexpr int kVecs = kPanel / Vec::kLanes;  // vectors per row of a panel

// How the kernel reads panels of one storage type.
struct F32Panels {
  using Elem = float;
  static constexpr int kStep = 1;  // consecutive k per load
  static int64_t stride(int64_t k) { return k * kPanel; }
  static int64_t stride_exact(int64_t k) { return k * kPanel; }
  static Vec load_k(const float* p, int64_t k, int v, int) {
    return load(p + k * kPanel + v * Vec::kLanes);
  }
};
struct Bf16Panels {
  using Elem = Bf16Bits;
  static constexpr int kStep = 2;
  static int64_t stride(int64_t k) {
    return (k + kBf16KStep - 1) / kBf16KStep * kBf16KStep * kPanel;
  }
  static int64_t stride_exact(int64_t k) { return (k + 1) / 2 * 2 * kPanel; }
  static Vec load_k(const Bf16Bits* p, int64_t k, int v, int parity) {
    const Bf16Bits* at = p + k * kPanel + v * (2 * Vec::kLanes);
    return parity == 0 ? load_even(at) : load_odd(at);
  }
};

// One register block: c[rows][16 panels] (+)= a[rows][k] * b. b points at the first k of its first
// panel.
template <class Panels, int kRows, int kCount>
inline void micro_kernel(const float* a, int64_t lda, const typename Panels::Elem* b,
                         int64_t b_stride, int64_t k, float* c, int64_t ldc, bool accumulate) {
  constexpr int kWidth = kCount * kVecs;
  Vec acc[kRows][kWidth];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) {
      acc[r][v] = accumulate ? load(c + r * ldc + v * Vec::kLanes) : splat(0.0f);
    }
  }
  auto step = [&](int64_t i, int parity) __attribute__((always_inline)) {
    if constexpr (kRows == 1) {  // weights are used once: load them one by one
      const Vec x = splat(a[i + parity]);
#pragma GCC unroll 16
      for (int v = 0; v < kWidth; ++v) {
        const Vec w = Panels::load_k(b + v / kVecs * b_stride, i, v % kVecs, parity);
        acc[0][v] = fma(x, w, acc[0][v]);
        pin(acc[0][v]);
      }
    } else {
      Vec w[kWidth];
#pragma GCC unroll 16
      for (int v = 0; v < kWidth; ++v) {
        w[v] = Panels::load_k(b + v / kVecs * b_stride, i, v % kVecs, parity);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vec x = splat(a[r * lda + i + parity]);
#pragma GCC unroll 16
        for (int v = 0; v < kWidth; ++v) {
          acc[r][v] = fma(x, w[v], acc[r][v]);
          pin(acc[r][v]);
        }
      }
    }
  };
  int64_t i = 0;
  for (; i + Panels::kStep <= k; i += Panels::kStep) {
    step(i, 0);
    if constexpr (Panels::kStep == 2) {
      step(i, 1);
    }
  }
  if (i < k) step(i, 0);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) store(c + r * ldc + v * Vec::kLanes, acc[r][v]);
  }
}

template <class Panels, int kRows>
inline void row_block(const float* a, int64_t lda, const typename Panels::Elem* b, int64_t b_stride,
                      int panels, int64_t k, float* c, int64_t ldc, bool accumulate) {
  constexpr int kMost = panels_at_once(kRows);
  int p = 0;
  auto run = [&](auto count) __attribute__((always_inline)) {
    micro_kernel<Panels, kRows, decltype(count)::kValue>(a, lda, b + p * b_stride, b_stride, k,
                                                         c + p * kPanel, ldc, accumulate);
    p += decltype(count)::kValue;
  };
  while (panels - p >= kMost) run(Count<kMost>{});
  if constexpr (kMost > 2) {
    if (panels - p == 3) run(Count<3>{});
    if (panels - p == 2) run(Count<2>{});
  }
  if constexpr (kMost > 1) {
    if (panels - p == 1) run(Count<1>{});
  }
}

// c[rows][16 panels] (+)= a * b for any number of rows; up to kMaxRows share one pass over b.
template <class Panels>
void multiply(const float* a, int64_t lda, int rows, const typename Panels::Elem* b,
              int64_t b_stride, int panels, int64_t k, float* c, int64_t ldc, bool accumulate) {
  const int passes = (rows + kMaxRows - 1) / kMaxRows;
  const int per_pass = (rows + passes - 1) / passes;
  const int group = panels_at_once(per_pass);
  for (int p = 0; p < panels; p += group) {
    const int count = panels - p < group ? panels - p : group;
    for (int r = 0; r < rows; r += per_pass) {
      const int n = rows - r < per_pass ? rows - r : per_pass;
      const float* ar = a + r * lda;
      const auto* bp = b + p * b_stride;
      float* cr = c + r * ldc + p * kPanel;
      switch (n) {
        case 1:
          row_block<Panels, 1>(ar, lda, bp, b_stride, count, k, cr, ldc, accumulate);
          break;
        case 2:
          row_block<Panels, 2>(ar, lda, bp, b_stride, count, k, cr, ldc, accumulate);
          break;
        case 3:
          row_block<Panels, 3>(ar, lda, bp, b_stride, count, k, cr, ldc, accumulate);
          break;
        default:
          if constexpr (kMaxRows > 3) {
            if (n == 4) row_block<Panels, 4>(ar, lda, bp, b_stride, count, k, cr, ldc, accumulate);
            if (n == 5) row_block<Panels, 5>(ar, lda, bp, b_stride, count, k, cr, ldc, accumulate);
            if (n == 6) row_block<Panels, 6>(ar, lda, bp, b_stride, count, k, cr, ldc, accumulate);
          }
      }
    }
  }
}

// Packed rows: float32, with a stride that does not map all rows to the same cache sets.
inline int64_t float_row_stride(int64_t k) { return (k + kPanel - 1) / kPanel * kPanel + kPanel; }

inline size_t packed_float_rows_bytes(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * float_row_stride(k)) * sizeof(float);
}

template <class T>
void pack_float_rows(const PackRows& p) {
  const int64_t stride = float_row_stride(p.k);
  for (int64_t r = p.first; r < p.first + p.count; ++r) {
    const T* in = static_cast<const T*>(p.src) + (p.index ? p.index[r] : r) * p.src_stride;
    float* out = static_cast<float*>(p.dst) + r * stride;
    for_vectors(p.k, [&](int64_t i, auto get, auto put) { put(out + i, get(in + i)); });
  }
}

template <class Panels>
void gemm_float_rows(const GemmTile& t) {
  // Per step a panel slice and a slice of the rows stay in the first-level cache.
  constexpr int64_t kSlice = 512;
  const int64_t lda = float_row_stride(t.k);
  const float* a = static_cast<const float*>(t.a) + t.row * lda;
  const auto* b = static_cast<const typename Panels::Elem*>(t.b);
  const int64_t b_stride = Panels::stride(t.b_k > 0 ? t.b_k : t.k);
  const int64_t slice = t.rows <= 2 * kMaxRows ? t.k : kSlice;
  for (int64_t k = t.k_begin; k < t.k_end; k += slice) {
    const int64_t n = t.k_end - k < slice ? t.k_end - k : slice;
    multiply<Panels>(a + k, lda, t.rows, b + (k - t.b_begin) * kPanel, b_stride, t.panels, n, t.c,
                     t.ldc, t.add || k > t.k_begin);
  }
}

}  // namespace
}  // namespace ernie::cpu
