#pragma once

// Quantised weights: products of a few float32 rows straight from their panels, and panels expanded
// to float32 for more rows. Include simd/gemm.h before. Every sum is the chain of simd/gemm.h.

namespace ernie::cpu {
namespace {

// How the kernels read panels of one type: lanes v * Vec::kLanes.. of column k, which is 8 * block
// + j.
struct Int8Values {
  static constexpr int kBits = 8;
  static Vec load_k(const char* panel, int64_t block, int j, int v) {
    return load(reinterpret_cast<const int8_t*>(panel) + (block * kQuantizedKStep + j) * kPanel +
                v * Vec::kLanes);
  }
};
struct Int4Values {
  static constexpr int kBits = 4;
  static Vec load_k(const char* panel, int64_t block, int j, int v) {
    return load_nibbles(reinterpret_cast<const uint32_t*>(panel) + block * kPanel + v * Vec::kLanes,
                        j % 2 * 16 + j / 2 * 4);
  }
};

inline const Bf16Bits* scales_of(const Bf16Bits* first, int64_t stride, int panel) {
  return reinterpret_cast<const Bf16Bits*>(reinterpret_cast<const char*>(first) + panel * stride);
}

// C or C * scales to memory, or added to what is there.
inline void put_scaled(float* c, Vec sum, const Bf16Bits* scales, bool add) {
  if (scales != nullptr) {
    const Vec s = load(scales);
    sum = add ? fma(sum, s, load(c)) : sum * s;
  }
  store(c, sum);
}

// c[rows][16 panels] = a * b over columns [begin, end), begin a multiple of 8; with scales, those
// of this group in the first panel, c (+)= a * b * scales.
template <class Values, int kRows, int kCount>
inline void quantized_kernel(const float* a, int64_t lda, const char* b, int64_t stride,
                             int64_t begin, int64_t end, float* c, int64_t ldc,
                             const Bf16Bits* scales, bool add) {
  constexpr int kWidth = kCount * kVecs;
  Vec acc[kRows][kWidth];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) acc[r][v] = splat(0.0f);
  }
  auto step = [&](int64_t block, int j) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) {
      const Vec w = Values::load_k(b + v / kVecs * stride, block, j, v % kVecs);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        acc[r][v] = fma(splat(a[r * lda + block * kQuantizedKStep + j]), w, acc[r][v]);
        pin(acc[r][v]);
      }
    }
  };
  int64_t block = begin / kQuantizedKStep;
  for (; (block + 1) * kQuantizedKStep <= end; ++block) {
#pragma GCC unroll 8
    for (int j = 0; j < kQuantizedKStep; ++j) step(block, j);
  }
  for (int j = 0; block * kQuantizedKStep + j < end; ++j) step(block, j);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) {
      const Bf16Bits* s = nullptr;
      if (scales != nullptr) s = scales_of(scales, stride, v / kVecs) + v % kVecs * Vec::kLanes;
      put_scaled(c + r * ldc + v * Vec::kLanes, acc[r][v], s, add);
    }
  }
}

// Calls kernel(first panel, count, begin, end, scales, add) for up to kMost panels at once, each
// group of columns after the other.
template <int kMost, class Kernel>
inline void for_panels_and_groups(const GemmTile& t, const QuantizedPanels& b, Kernel kernel) {
  const int64_t group = b.group > 0 ? b.group : t.k_end - t.k_begin;
  for (int p = 0; p < t.panels; p += kMost) {
    const int count = t.panels - p < kMost ? t.panels - p : kMost;
    for (int64_t k = t.k_begin; k < t.k_end; k += group) {
      const int64_t end = k + group < t.k_end ? k + group : t.k_end;
      const Bf16Bits* scales = nullptr;
      if (b.group > 0) scales = scales_of(b.scales, b.stride, p) + k / b.group * kPanel;
      kernel(p, count, k, end, scales, k > t.k_begin);
    }
  }
}

template <class Values, int kRows>
void quantized_rows(const GemmTile& t, const QuantizedPanels& b) {
  const int64_t lda = float_row_stride(t.k);
  const float* a = static_cast<const float*>(t.a) + t.row * lda;
  constexpr int kMost = panels_at_once(kRows);
  for_panels_and_groups<kMost>(
      t, b, [&](int p, int count, int64_t begin, int64_t end, const Bf16Bits* scales, bool add) {
        auto run = [&](auto n) {
          quantized_kernel<Values, kRows, decltype(n)::kValue>(
              a, lda, b.values + p * b.stride, b.stride, begin, end, t.c + p * kPanel, t.ldc,
              scales, add);
        };
        if (count == kMost) return run(Count<kMost>{});
        if constexpr (kMost > 2) {
          if (count == 3) return run(Count<3>{});
          if (count == 2) return run(Count<2>{});
        }
        run(Count<1>{});
      });
}

constexpr int kDirectRows = kMaxRows < 4 ? kMaxRows : 4;

template <class Values>
void gemm_quantized_values(const GemmTile& t, const QuantizedPanels& b) {
  switch (t.rows) {
    case 1:
      return quantized_rows<Values, 1>(t, b);
    case 2:
      return quantized_rows<Values, 2>(t, b);
    case 3:
      return quantized_rows<Values, 3>(t, b);
    default:
      if constexpr (kDirectRows > 3) return quantized_rows<Values, 4>(t, b);
  }
}

void gemm_quantized(const GemmTile& t, const QuantizedPanels& b) {
  b.int4 ? gemm_quantized_values<Int4Values>(t, b) : gemm_quantized_values<Int8Values>(t, b);
}

template <class Values>
inline void expand_f32_panel(const char* panel, int64_t begin, int64_t end, float* out) {
  for (int64_t block = begin / kQuantizedKStep; block * kQuantizedKStep < end; ++block) {
#pragma GCC unroll 8
    for (int j = 0; j < kQuantizedKStep; ++j) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v, out += Vec::kLanes) {
        store(out, Values::load_k(panel, block, j, v));
      }
    }
  }
}

// As F32Panels; what they are padded with is never read.
void expand_f32(const ExpandPanels& e) {
  const int64_t depth = (e.k_end - e.k_begin + kBf16KStep - 1) / kBf16KStep * kBf16KStep;
  for (int p = 0; p < e.panels; ++p) {
    const char* panel = e.from.values + p * e.from.stride;
    float* out = static_cast<float*>(e.out) + p * depth * kPanel;
    e.from.int4 ? expand_f32_panel<Int4Values>(panel, e.k_begin, e.k_end, out)
                : expand_f32_panel<Int8Values>(panel, e.k_begin, e.k_end, out);
  }
}

void scale_tile(const ScaleTile& t) {
  for (int p = 0; p < t.panels; ++p) {
    const Bf16Bits* scales = scales_of(t.scales, t.stride, p);
    for (int r = 0; r < t.rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        const int64_t at = p * kPanel + v * Vec::kLanes;
        put_scaled(t.out + r * t.out_ld + at, load(t.c + r * t.ldc + at), scales + v * Vec::kLanes,
                   t.add);
      }
    }
  }
}

}  // namespace
}  // namespace ernie::cpu
