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

// What expand() wrote, in float32.
struct F32Values {
  static constexpr int kBits = 32;
  static Vec load_k(const char* panel, int64_t block, int j, int v) {
    return load(reinterpret_cast<const float*>(panel) + (block * kQuantizedKStep + j) * kPanel +
                v * Vec::kLanes);
  }
};

// C * scales, added to `sum` if `add`.
inline Vec scaled(Vec c, const Bf16Bits* scales, bool add, Vec sum) {
  const Vec s = load(scales);
  return add ? fma(c, s, sum) : c * s;
}

inline const Bf16Bits* next_panel(const Bf16Bits* scales, int64_t stride) {
  return scales + stride / static_cast<int64_t>(sizeof(Bf16Bits));
}

// Fetches what the kernel reads of kCount panels some time later into the second-level cache: the
// next of each panel, in the end the beginning of the kCount panels after them. Panels are short,
// so a kernel would wait for memory whenever it begins with new ones.
template <int kCount, int kBlockBytes>
class ReadAhead {
 public:
  ReadAhead(const QuantizedPanels& b, int64_t begin, int64_t end)
      : at_(b.values + begin * kBlockBytes + kDistance),
        stride_(b.stride),
        turn_(end - begin - kDistance / kBlockBytes),
        jump_(kCount * b.stride - end * kBlockBytes) {}
  // With each block of columns.
  void next() {
    if (turn_-- == 0) at_ += jump_;
#pragma GCC unroll 4
    for (int p = 0; p < kCount; ++p) {
#pragma GCC unroll 2
      for (int line = 0; line < kBlockBytes; line += 64) {
        __builtin_prefetch(at_ + p * stride_ + line, 0, 2);
      }
    }
    at_ += kBlockBytes;
  }

 private:
  static constexpr int64_t kDistance = 2048;
  const char* at_;
  int64_t stride_;
  int64_t turn_;  // blocks until the panels after these begin
  int64_t jump_;
};

// Adds the products of one block of columns to sum[kRows][kCount * kVecs].
template <class ValuesType, int kRowCount, int kPanelCount>
struct FloatStep {
  using Values = ValuesType;
  using Element = float;
  static constexpr int kRows = kRowCount;
  static constexpr int kCount = kPanelCount;
  using Sums = Vec[kRows][kCount * kVecs];

  static int64_t row_stride(int64_t k) { return float_row_stride(k); }
  static void column(Sums& sum, const float* a, int64_t lda, const QuantizedPanels& b,
                     int64_t block, int j) {
#pragma GCC unroll 16
    for (int v = 0; v < kCount * kVecs; ++v) {
      const Vec w = Values::load_k(b.values + v / kVecs * b.stride, block, j, v % kVecs);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        sum[r][v] = fma(splat(a[r * lda + block * kQuantizedKStep + j]), w, sum[r][v]);
        pin(sum[r][v]);
      }
    }
  }
  static void whole_block(Sums& sum, const float* a, int64_t lda, const QuantizedPanels& b,
                          int64_t block) {
#pragma GCC unroll 8
    for (int j = 0; j < kQuantizedKStep; ++j) column(sum, a, lda, b, block, j);
  }
  static void part_of_block(Sums& sum, const float* a, int64_t lda, const QuantizedPanels& b,
                            int64_t block, int64_t columns) {
    for (int j = 0; j < columns; ++j) column(sum, a, lda, b, block, j);
  }
};

// c[rows][16 panels] = a * b over columns [begin, end), begin a multiple of kQuantizedKStep; with
// groups, the scaled sum of each added to those before it and, if `add`, to c.
template <class Step, bool kGrouped>
inline void quantized_kernel(const typename Step::Element* a, int64_t lda, const QuantizedPanels& b,
                             int64_t begin, int64_t end, float* c, int64_t ldc, bool add) {
  constexpr int kRows = Step::kRows;
  constexpr int kWidth = Step::kCount * kVecs;
  typename Step::Sums sum, total;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) {
      sum[r][v] = splat(0.0f);
      total[r][v] = add ? load(c + r * ldc + v * Vec::kLanes) : splat(0.0f);
    }
  }
  ReadAhead<Step::kCount, Step::Values::kBits * kPanel> ahead(b, begin / kQuantizedKStep,
                                                              end / kQuantizedKStep);
  const int64_t group = kGrouped ? b.group : end - begin;
  for (int64_t k = begin; k < end; k += group) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kWidth; ++v) sum[r][v] = splat(0.0f);
    }
    const int64_t stop = end - k < group ? end : k + group;
    int64_t block = k / kQuantizedKStep;
    for (; block < stop / kQuantizedKStep; ++block) {
      if constexpr (Step::Values::kBits <= 8) ahead.next();
      Step::whole_block(sum, a, lda, b, block);
    }
    if (stop % kQuantizedKStep != 0) {
      Step::part_of_block(sum, a, lda, b, block, stop % kQuantizedKStep);
    }
    if constexpr (kGrouped) {
      const Bf16Bits* scales = b.scales + k / group * kPanel;
#pragma GCC unroll 16
      for (int v = 0; v < kWidth; ++v) {
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          total[r][v] =
              scaled(sum[r][v], scales + v % kVecs * Vec::kLanes, add || k > begin, total[r][v]);
        }
        if ((v + 1) % kVecs == 0) scales = next_panel(scales, b.scale_stride);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kWidth; ++v) {
      store(c + r * ldc + v * Vec::kLanes, kGrouped ? total[r][v] : sum[r][v]);
    }
  }
}

template <template <class, int, int> class Step, class Values, int kRows>
void quantized_rows(const GemmTile& t, QuantizedPanels b) {
  constexpr int kMost = panels_at_once(kRows);
  const int64_t lda = Step<Values, kRows, 1>::row_stride(t.k);
  const auto* a = static_cast<const typename Step<Values, kRows, 1>::Element*>(t.a) + t.row * lda;
  float* c = t.c;
  const auto run = [&](auto count) {
    constexpr int kCount = decltype(count)::kValue;
    const auto kernel = b.group > 0 ? quantized_kernel<Step<Values, kRows, kCount>, true>
                                    : quantized_kernel<Step<Values, kRows, kCount>, false>;
    kernel(a, lda, b, t.k_begin, t.k_end, c, t.ldc, false);
    b.values += kCount * b.stride;
    b.scales = next_panel(b.scales, kCount * b.scale_stride);
    c += kCount * kPanel;
  };
  int p = 0;
  for (; p + kMost <= t.panels; p += kMost) run(Count<kMost>{});
  for (; p < t.panels; ++p) run(Count<1>{});
}

constexpr int kDirectRows = kMaxRows < 4 ? kMaxRows : 4;

template <template <class, int, int> class Step, class Values>
void quantized_few_rows(const GemmTile& t, const QuantizedPanels& b) {
  switch (t.rows) {
    case 1:
      return quantized_rows<Step, Values, 1>(t, b);
    case 2:
      return quantized_rows<Step, Values, 2>(t, b);
    case 3:
      return quantized_rows<Step, Values, 3>(t, b);
    default:
      if constexpr (kDirectRows > 3) return quantized_rows<Step, Values, 4>(t, b);
  }
}

// Rows that gemm_expanded_groups() takes at once: their sums and totals fit into the registers.
constexpr int kGroupedRows = 3;

template <template <class, int, int> class Step, class Values, int kCount>
void grouped_panels(const GemmTile& t, const QuantizedPanels& b, float* c) {
  const int64_t lda = Step<Values, 1, 1>::row_stride(t.k);
  const auto* a = static_cast<const typename Step<Values, 1, 1>::Element*>(t.a) + t.row * lda;
  a += t.k_begin;
  int rows = t.rows;
  const auto run = [&](auto count) {
    constexpr int kRows = decltype(count)::kValue;
    quantized_kernel<Step<Values, kRows, kCount>, true>(a, lda, b, 0, t.k_end - t.k_begin, c, t.ldc,
                                                        t.add);
    a += kRows * lda;
    c += kRows * t.ldc;
    rows -= kRows;
  };
  while (rows >= kGroupedRows) run(Count<kGroupedRows>{});
  if (rows == 2) run(Count<2>{});
  if (rows == 1) run(Count<1>{});
}

// The values of `b` are expanded and begin with column k_begin.
template <template <class, int, int> class Step, class Values>
void gemm_expanded_groups(const GemmTile& t, const QuantizedPanels& b) {
  constexpr int kMost = panels_at_once(kGroupedRows);
  QuantizedPanels from = b;
  float* c = t.c;
  const auto run = [&](auto count) {
    constexpr int kCount = decltype(count)::kValue;
    grouped_panels<Step, Values, kCount>(t, from, c);
    from.values += kCount * b.stride;
    from.scales = next_panel(from.scales, kCount * b.scale_stride);
    c += kCount * kPanel;
  };
  int p = 0;
  for (; p + kMost <= t.panels; p += kMost) run(Count<kMost>{});
  for (; p < t.panels; ++p) run(Count<1>{});
}

void gemm_quantized(const GemmTile& t, const QuantizedPanels& b) {
  b.int4 ? quantized_few_rows<FloatStep, Int4Values>(t, b)
         : quantized_few_rows<FloatStep, Int8Values>(t, b);
}

// While a slice of a panel is expanded the next is fetched into the second-level cache.
template <int kBits>
inline void fetch_next_slice(const char* panel, int64_t block, int64_t begin, int64_t end) {
  constexpr int kBlockBytes = kBits * kPanel;
  const char* at = panel + (block + (end - begin) / kQuantizedKStep) * kBlockBytes;
#pragma GCC unroll 2
  for (int line = 0; line < kBlockBytes; line += 64) __builtin_prefetch(at + line, 0, 2);
}

template <class Values>
inline void expand_f32_panel(const char* panel, int64_t begin, int64_t end, float* out) {
  for (int64_t block = begin / kQuantizedKStep; block * kQuantizedKStep < end; ++block) {
    fetch_next_slice<Values::kBits>(panel, block, begin, end);
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
  const Bf16Bits* scales = t.scales;
  for (int p = 0; p < t.panels; ++p, scales = next_panel(scales, t.stride)) {
    for (int r = 0; r < t.rows; ++r) {
      const float* c = t.c + r * t.ldc + p * kPanel;
      float* out = t.out + r * t.out_ld + p * kPanel;
#pragma GCC unroll 4
      for (int i = 0; i < kPanel; i += Vec::kLanes) {
        store(out + i, scaled(load(c + i), scales + i, t.add, load(out + i)));
      }
    }
  }
}

}  // namespace
}  // namespace ernie::cpu
