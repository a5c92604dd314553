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

template <class T>
void copy_tile(const AttentionTask& t, const T* keys, const T* values, int64_t first, int64_t count,
               T* key_tile, T* value_tile) {
  for (int64_t i = 0; i < count; ++i) {
    const T* key = keys + i * t.head_dim;
    const T* value = values + i * t.head_dim;
    for (int64_t e = 0; e < t.head_dim; ++e) {
      key_tile[panel_offset<T>(t.head_dim, e, first + i)] = key[e];
      value_tile[panel_offset<T>(kKeyTile, first + i, e)] = value[e];
    }
  }
}

template <class T>
void attention(const AttentionTask& t) {
  using Panels = typename PanelsOf<T>::Type;
  const int rows = t.queries * t.heads;
  const int64_t d = t.head_dim;
  const int64_t width = round_up(d, kPanel);
  const int value_panels = static_cast<int>(width / kPanel);
  const bool panels_stored = t.page_size % kPanel == 0 && d % kPanel == 0;
  const AttentionScratch at(rows, d);
  float* const queries = t.scratch;
  float* const scores = t.scratch + at.scores;
  float* const sums = t.scratch + at.sums;
  float* const maximum = t.scratch + at.maximum;
  float* const denominator = t.scratch + at.denominator;
  T* const key_tile = reinterpret_cast<T*>(t.scratch + at.key_tile);
  T* const value_tile = reinterpret_cast<T*>(t.scratch + at.value_tile);
  const int64_t run_keys =
      !panels_stored || t.page_size % kKeyTile == 0 ? int64_t{kKeyTile} : int64_t{kPanel};

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
      const T* keys = static_cast<const T*>(t.keys) + base;
      const T* values = static_cast<const T*>(t.values) + base;
      int64_t n = t.page_size - offset < count - i ? t.page_size - offset : count - i;
      if (panels_stored) {
        if (n > run_keys) n = run_keys;
        runs[num_runs++] = {keys + offset * d, values + offset * kPanel,
                            Panels::stride_exact(t.page_size)};
      } else {
        copy_tile<T>(t, keys + offset * d, values + offset * d, i, n, key_tile, value_tile);
      }
      i += n;
    }
    if (!panels_stored) {
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
