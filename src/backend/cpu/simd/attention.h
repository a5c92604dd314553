#pragma once

// Attention of a block of query rows over paged keys and values: softmax online over tiles of
// kKeyTile keys (Milakov & Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135). A row is a
// query and a head. Include simd/gemm.h before.

namespace ernie::cpu {
namespace {

template <class T>
struct PanelsOf;
template <>
struct PanelsOf<float> {
  using Type = F32Panels;
};
template <>
struct PanelsOf<Bf16Bits> {
  using Type = Bf16Panels;
};

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Offsets, in floats, into the scratch of a task: q [rows][head_dim], scores [rows][kKeyTile], sums
// [rows][padded head_dim], maximum and denominator [rows], then one tile of keys and of values as
// panels.
struct AttentionScratch {
  int64_t scores, sums, maximum, denominator, key_tile, value_tile, end;
  AttentionScratch(int64_t rows, int64_t head_dim) {
    const int64_t tile = kKeyTile * round_up(head_dim, kPanel);
    scores = round_up(rows * head_dim, kPanel);
    sums = scores + rows * kKeyTile;
    maximum = sums + rows * round_up(head_dim, kPanel);
    denominator = maximum + rows;
    key_tile = round_up(denominator + rows, kPanel);
    value_tile = key_tile + tile;
    end = value_tile + tile;
  }
};

int64_t attention_scratch_floats(int64_t rows, int64_t head_dim) {
  return AttentionScratch(rows, head_dim).end;
}

// Where element (row of B, column of B) of a panel set of depth k lies.
template <class T>
inline int64_t panel_offset(int64_t k, int64_t row, int64_t column) {
  const int64_t panel = column / kPanel * kPanel * k, lane = column % kPanel;
  if constexpr (sizeof(T) == 2) return panel + row / 2 * (2 * kPanel) + lane * 2 + row % 2;
  return panel + row * kPanel + lane;
}

// One run of keys of a tile that lie in one page, as panels.
template <class T>
struct KeyRun {
  const T* keys;    // first panel; panels are head_dim * 16 apart
  const T* values;  // first k of the first panel
  int64_t value_stride;
};

// Softmax of scores[count] of one row into weights; rescales what was summed before.
inline void softmax_step(float* scores, int64_t count, int64_t columns, float* maximum,
                         float* denominator, float* sums, int64_t width) {
  const float infinity = __builtin_inff();
  for (int64_t i = count; i < columns; ++i) scores[i] = -infinity;
  Vec m = splat(*maximum);
  for (int64_t i = 0; i < columns; i += Vec::kLanes) m = max(load(scores + i), m);
  const float new_maximum = horizontal_max(m);
  Vec total = splat(0.0f);
  for (int64_t i = 0; i < columns; i += Vec::kLanes) {
    const Vec e = exp(load(scores + i) - splat(new_maximum));
    total = total + e;
    store(scores + i, e);
  }
  float factor[Vec::kLanes];
  store(factor, exp(splat(*maximum - new_maximum)));
  *denominator = *denominator * factor[0] + horizontal_sum(total);
  if (new_maximum != *maximum) {
    for (int64_t i = 0; i < width; i += Vec::kLanes) {
      store(sums + i, load(sums + i) * splat(factor[0]));
    }
  }
  *maximum = new_maximum;
}

// Elements [first, first + count) of a tile from [count][head_dim]; get(cell, key, 0 or 1 for a
// value) is an element.
template <class T, class Cell, class Get>
void copy_tile(const AttentionTask& t, const Cell* keys, const Cell* values, int64_t first,
               int64_t count, T* key_tile, T* value_tile, const Get& get) {
  for (int64_t i = 0; i < count; ++i) {
    const Cell* key = keys + i * t.head_dim;
    const Cell* value = values + i * t.head_dim;
    for (int64_t e = 0; e < t.head_dim; ++e) {
      key_tile[panel_offset<T>(t.head_dim, e, first + i)] = get(key[e], i, 0);
      value_tile[panel_offset<T>(kKeyTile, first + i, e)] = get(value[e], i, 1);
    }
  }
}

// Without a choice between floating-point numbers, which keeps compilers from vectorising.
template <CacheCells kCells>
inline float number_in(uint8_t cell) {
  if constexpr (kCells == CacheCells::kInt8) return static_cast<float>(static_cast<int8_t>(cell));
  const int32_t magnitude = cell & 0x7f;
  const float subnormal = static_cast<float>(magnitude) * 0x1p-9f;
  const uint32_t is_subnormal = static_cast<uint32_t>((magnitude - 8) >> 31);
  const uint32_t normal = (static_cast<uint32_t>(magnitude) << 20) + ((127u - 7u) << 23);
  const uint32_t bits = (__builtin_bit_cast(uint32_t, subnormal) & is_subnormal) |
                        (normal & ~is_subnormal) | (cell & 0x80u) << 24;
  return __builtin_bit_cast(float, bits);
}

inline float scale_at(const Bf16Bits* scale) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(*scale) << 16);
}

// A NaN here has no lower bits that a carry could come from.
template <class T>
inline T rounded(float x) {
  if constexpr (sizeof(T) == 4) return x;
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  return static_cast<T>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Elements that lie side by side in a panel: kPanel columns of as many k as T is stored in.
template <class T>
constexpr int kPanelRow = kPanel* static_cast<int>(4 / sizeof(T));

// `rows` rows of a panel; the scales of a row are `step` behind those of the row before.
template <class T, CacheCells kCells>
inline void expand_rows(const uint8_t* __restrict cells, const float* __restrict scales,
                        int64_t step, int64_t rows, T* __restrict out) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int e = 0; e < kPanelRow<T>; ++e) {
      out[e] = rounded<T>(number_in<kCells>(cells[e]) * scales[e]);
    }
    cells += kPanelRow<T>;
    scales += step;
    out += kPanelRow<T>;
  }
}

// Keys [first, first + count) of a tile from panels, beginning at key `offset` of their page; both
// are multiples of kPanel. What the last panel holds beyond them is expanded too, and not read.
template <class T, CacheCells kCells>
void expand_tile(const AttentionTask& t, const uint8_t* keys, const uint8_t* values,
                 const Bf16Bits* scales, int64_t offset, int64_t first, int64_t count, T* key_tile,
                 T* value_tile) {
  constexpr int kGroup = kPanelRow<T> / kPanel;
  const int64_t d = t.head_dim;
  const Bf16Bits* const own = scales + 2 * offset;
  for (int64_t i = 0; i < count; i += kPanel) {
    float key_scales[kPanelRow<T>];
    for (int e = 0; e < kPanelRow<T>; ++e) key_scales[e] = scale_at(own + 2 * (i + e / kGroup));
    expand_rows<T, kCells>(keys + (offset + i) * d, key_scales, 0, d / kGroup,
                           key_tile + (first + i) * d);
  }
  const int64_t value_rows = (count + kGroup - 1) / kGroup;
  float value_scales[kKeyTile * kPanel];
  for (int64_t i = 0; i < value_rows * kPanelRow<T>; ++i) {
    const int64_t key = i / kPanelRow<T> * kGroup + i % kGroup;
    value_scales[i] = scale_at(own + 2 * key + 1);
  }
  for (int64_t p = 0; p < d; p += kPanel) {
    expand_rows<T, kCells>(values + p * t.page_size + offset * kPanel, value_scales, kPanelRow<T>,
                           value_rows, value_tile + p * kKeyTile + first * kPanel);
  }
}

template <class T, CacheCells kCells>
void load_quantized(const AttentionTask& t, int64_t base, int64_t offset, int64_t first,
                    int64_t count, bool panels_stored, T* key_tile, T* value_tile) {
  const int64_t d = t.head_dim;
  const auto* keys = static_cast<const uint8_t*>(t.keys) + base;
  const auto* values = static_cast<const uint8_t*>(t.values) + base;
  const Bf16Bits* scales = t.scales + base / d * 2;
  if (panels_stored) {
    expand_tile<T, kCells>(t, keys, values, scales, offset, first, count, key_tile, value_tile);
    return;
  }
  copy_tile<T>(
      t, keys + offset * d, values + offset * d, first, count, key_tile, value_tile,
      [&](uint8_t cell, int64_t key, int value) {
        return rounded<T>(number_in<kCells>(cell) * scale_at(scales + 2 * (offset + key) + value));
      });
}

template <class T>
void attention(const AttentionTask& t) {
  using Panels = typename PanelsOf<T>::Type;
  const int rows = t.queries * t.heads;
  const int64_t d = t.head_dim;
  const int64_t width = round_up(d, kPanel);
  const int value_panels = static_cast<int>(width / kPanel);
  const bool panels_stored = t.page_size % kPanel == 0 && d % kPanel == 0;
  const bool in_place = panels_stored && t.cells == CacheCells::kPlain;
  const AttentionScratch at(rows, d);
  float* const queries = t.scratch;
  float* const scores = t.scratch + at.scores;
  float* const sums = t.scratch + at.sums;
  float* const maximum = t.scratch + at.maximum;
  float* const denominator = t.scratch + at.denominator;
  T* const key_tile = reinterpret_cast<T*>(t.scratch + at.key_tile);
  T* const value_tile = reinterpret_cast<T*>(t.scratch + at.value_tile);
  const int64_t run_keys =
      !in_place || t.page_size % kKeyTile == 0 ? int64_t{kKeyTile} : int64_t{kPanel};

  for (int r = 0; r < rows; ++r) {
    const T* q = static_cast<const T*>(t.q) + r / t.heads * t.q_stride + r % t.heads * d;
    for_vectors(d, [&](int64_t i, auto get, auto put) {
      put(queries + r * d + i, get(q + i) * splat(t.scale));
    });
    maximum[r] = -__builtin_inff();
    denominator[r] = 0;
  }
  for (int64_t i = 0; i < rows * width; ++i) sums[i] = 0;
  if (!panels_stored) {
    for (int64_t i = 0; i < kKeyTile * width; ++i) key_tile[i] = value_tile[i] = 0;
  }

  const int64_t last = t.visible + (t.causal ? t.queries - 1 : 0);
  for (int64_t begin = 0; begin < last; begin += kKeyTile) {
    const int64_t count = last - begin < kKeyTile ? last - begin : kKeyTile;
    const int64_t columns = round_up(count, kPanel);

    // The tile as runs of keys, each inside one page.
    KeyRun<T> runs[kKeyTile / kPanel];
    int num_runs = 0;
    for (int64_t i = 0; i < count;) {
      const int64_t page = (begin + i) / t.page_size, offset = (begin + i) % t.page_size;
      const int64_t base = (t.pages ? t.pages[page] : 0) * t.page_stride;
      int64_t n = t.page_size - offset < count - i ? t.page_size - offset : count - i;
      if (t.cells == CacheCells::kPlain) {
        const T* keys = static_cast<const T*>(t.keys) + base;
        const T* values = static_cast<const T*>(t.values) + base;
        if (panels_stored) {
          if (n > run_keys) n = run_keys;
          runs[num_runs++] = {keys + offset * d, values + offset * kPanel,
                              Panels::stride_exact(t.page_size)};
        } else {
          copy_tile<T>(t, keys + offset * d, values + offset * d, i, n, key_tile, value_tile,
                       [](T element, int64_t, int) { return element; });
        }
      } else {
        const auto load = t.cells == CacheCells::kInt8 ? load_quantized<T, CacheCells::kInt8>
                                                       : load_quantized<T, CacheCells::kE4m3>;
        load(t, base, offset, i, n, panels_stored, key_tile, value_tile);
      }
      i += n;
    }
    if (!in_place) {
      runs[0] = {key_tile, value_tile, Panels::stride_exact(kKeyTile)};
      num_runs = 1;
    }

    for (int u = 0; u < num_runs; ++u) {
      const int64_t first = u * run_keys;
      const int64_t n = columns - first < run_keys ? columns - first : run_keys;
      multiply<Panels>(queries, d, rows, runs[u].keys, Panels::stride_exact(d),
                       static_cast<int>(n / kPanel), d, scores + first, kKeyTile, false);
    }
    for (int r = 0; r < rows; ++r) {
      const int64_t sees = t.visible + (t.causal ? r / t.heads : 0) - begin;
      const int64_t n = sees < 0 ? 0 : sees < count ? sees : count;
      float* row = scores + r * kKeyTile;
      if (n > 0) {
        softmax_step(row, n, columns, maximum + r, denominator + r, sums + r * width, width);
      } else {
        for (int64_t i = 0; i < columns; ++i) row[i] = 0;
      }
    }
    for (int u = 0; u < num_runs; ++u) {
      const int64_t first = u * run_keys;
      const int64_t n = count - first < run_keys ? count - first : run_keys;
      multiply<Panels>(scores + first, kKeyTile, rows, runs[u].values, runs[u].value_stride,
                       value_panels, n, sums, width, true);
    }
  }

  for (int r = 0; r < rows; ++r) {
    T* out = static_cast<T*>(t.out) + r / t.heads * t.out_stride + r % t.heads * d;
    const Vec norm = splat(1.0f / denominator[r]);
    for_vectors(
        d, [&](int64_t i, auto get, auto put) { put(out + i, get(sums + r * width + i) * norm); });
  }
}

}  // namespace
}  // namespace ernie::cpu
