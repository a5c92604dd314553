#pragma once

// Matrix products with AMX tiles (TDPBF16PS: 16 x 16 sums over 32 k at once). Include simd/gemm.h
// before. Every element of C is one chain over blocks of 32 k; rows beyond the last are zeros.

namespace ernie::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int64_t kTileElements = int64_t{kTileRows} * kBf16KStep;  // 1 KiB of bfloat16

// Packed rows: tiles [rows / 16][k / 32][16][32] bfloat16, padded with zeros.
inline int64_t tile_depth(int64_t k) { return (k + kBf16KStep - 1) / kBf16KStep; }

inline size_t packed_tile_rows_bytes(int64_t rows, int64_t k) {
  const int64_t groups = (rows + kTileRows - 1) / kTileRows;
  return static_cast<size_t>(groups * tile_depth(k) * kTileElements) * sizeof(Bf16Bits);
}

void pack_tile_rows(const PackRows& p) {
  const int64_t depth = tile_depth(p.k);
  const int64_t last = p.first + p.count;
  const int64_t padded = (last + kTileRows - 1) / kTileRows * kTileRows;
  for (int64_t r = p.first; r < padded; ++r) {
    Bf16Bits* out = static_cast<Bf16Bits*>(p.dst) + r / kTileRows * depth * kTileElements +
                    r % kTileRows * kBf16KStep;
    const Bf16Bits* in =
        r < last ? static_cast<const Bf16Bits*>(p.src) + (p.index ? p.index[r] : r) * p.src_stride
                 : nullptr;
    for (int64_t block = 0; block < depth; ++block) {
      const int64_t k = block * kBf16KStep;
      const int64_t left = p.k - k < kBf16KStep ? p.k - k : kBf16KStep;
      const int64_t n = in ? left : 0;
      Bf16Bits* to = out + block * kTileElements;
      if (n > 0) __builtin_memcpy(to, in + k, static_cast<size_t>(n) * sizeof(Bf16Bits));
      for (int64_t i = n; i < kBf16KStep; ++i) to[i] = 0;
    }
  }
}

// All eight tiles are 16 rows of 64 bytes. A constant, because the compiler knows only of the first
// bytes that _tile_loadconfig reads and may leave out stores to the others.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig kTileConfig;

// Lines of 64 bytes to fetch into the second-level cache, so many with each block of k.
struct Ahead {
  const Bf16Bits* at;
  int lines_per_step;
};

// A group of 16 rows of A at some block of k, packed or as it lies.
struct TileRows {
  const Bf16Bits* at;
  int64_t row_bytes;  // from one row to the next
  int64_t block;      // elements from one block of k to the next
};

// c[32 or 16 rows][32 or 16 columns] (+)= a * b over `depth` blocks of k. Tiles 0-3 hold C, 4-5 A,
// 6-7 B. `c` has room for whole tiles.
template <int kRowTiles, int kColumnTiles>
inline void tile_kernel(TileRows a0, TileRows a1, const Bf16Bits* b, int64_t b_stride,
                        int64_t depth, float* c, int64_t ldc, bool accumulate, Ahead ahead) {
  const int64_t c_bytes = ldc * static_cast<int64_t>(sizeof(float));
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (kColumnTiles > 1) _tile_loadd(1, c + kPanel, c_bytes);
    if constexpr (kRowTiles > 1) _tile_loadd(2, c + kTileRows * ldc, c_bytes);
    if constexpr (kRowTiles > 1 && kColumnTiles > 1) {
      _tile_loadd(3, c + kTileRows * ldc + kPanel, c_bytes);
    }
  } else {
    _tile_zero(0);
    if constexpr (kColumnTiles > 1) _tile_zero(1);
    if constexpr (kRowTiles > 1) _tile_zero(2);
    if constexpr (kRowTiles > 1 && kColumnTiles > 1) _tile_zero(3);
  }
  for (int64_t i = 0; i < depth; ++i) {
    _tile_loadd(6, b + i * kTileElements, 64);
    _tile_stream_loadd(4, a0.at + i * a0.block, a0.row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kColumnTiles > 1) {
      _tile_loadd(7, b + b_stride + i * kTileElements, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kRowTiles > 1) {
      _tile_stream_loadd(5, a1.at + i * a1.block, a1.row_bytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kColumnTiles > 1) _tile_dpbf16ps(3, 5, 7);
    }
    for (int line = 0; line < ahead.lines_per_step; ++line, ahead.at += kBf16KStep) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead.at), _MM_HINT_T1);
    }
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (kColumnTiles > 1) _tile_stored(1, c + kPanel, c_bytes);
  if constexpr (kRowTiles > 1) _tile_stored(2, c + kTileRows * ldc, c_bytes);
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) {
    _tile_stored(3, c + kTileRows * ldc + kPanel, c_bytes);
  }
}

// Hands out the next slice of all panels in runs of lines, one run for each call of the kernel,
// which fetches them while it multiplies: weights come from memory into the second-level cache in
// time.
class SliceAhead {
 public:
  SliceAhead(const Bf16Bits* first, int64_t b_stride, int64_t blocks, int panels, int calls)
      : first_(first), b_stride_(b_stride), panel_lines_(blocks * kTileRows) {
    left_ = panel_lines_ * panels;
    share_ = (left_ + calls - 1) / calls;
  }
  Ahead next(int64_t steps) {
    if (left_ <= 0) return {first_, 0};
    const int64_t line = done_ % panel_lines_;
    const int64_t rest = panel_lines_ - line;
    const int64_t run = share_ < rest ? share_ : rest;
    const Ahead ahead{first_ + done_ / panel_lines_ * b_stride_ + line * kBf16KStep,
                      static_cast<int>((run + steps - 1) / steps)};
    done_ += run;
    left_ -= run;
    return ahead;
  }

 private:
  const Bf16Bits* first_;
  int64_t b_stride_;
  int64_t panel_lines_;  // lines of 64 bytes in a slice of one panel
  int64_t share_;
  int64_t done_ = 0;
  int64_t left_;
};

void gemm_tile_rows(const GemmTile& t) {
  // Blocks of k per step: two panels of it stay in the first-level cache, where A, loaded with a
  // hint that it will not be wanted soon, does not displace them.
  constexpr int64_t kSlice = 16;
  constexpr int kFewGroups = 4;
  _tile_loadconfig(&kTileConfig);
  const int64_t depth = tile_depth(t.k);
  const int64_t a_stride = depth * kTileElements;  // one group of 16 rows to the next
  const int64_t b_stride = depth * kBf16KStep * kPanel;
  const Bf16Bits* a = static_cast<const Bf16Bits*>(t.a) + t.row / kTileRows * a_stride;
  const auto* raw = static_cast<const Bf16Bits*>(t.raw);
  const auto group_rows = [&](int g, int64_t block) -> TileRows {
    const int64_t first = int64_t{g} * kTileRows;
    if (raw != nullptr && first + kTileRows <= t.rows) {
      return {raw + (t.row + first) * t.raw_stride + block * kBf16KStep,
              t.raw_stride * static_cast<int64_t>(sizeof(Bf16Bits)), kBf16KStep};
    }
    return {a + g * a_stride + block * kTileElements, kBf16KStep * sizeof(Bf16Bits), kTileElements};
  };
  const Bf16Bits* b = static_cast<const Bf16Bits*>(t.b);
  const int groups = (t.rows + kTileRows - 1) / kTileRows;
  const bool few = groups <= kFewGroups;
  const int64_t slice = few ? depth : kSlice;
  const int64_t begin = t.k_begin / kBf16KStep;
  const int64_t end = tile_depth(t.k_end);
  for (int64_t k = begin; k < end; k += slice) {
    const int64_t n = end - k < slice ? end - k : slice;
    const bool more = k > begin;
    // The next slice, or the first of the next tile. Few rows read all of a panel in one go, which
    // the processor foresees by itself.
    const int64_t rest = end - k - n;
    const Bf16Bits* next =
        rest > 0 ? b + (k + n) * kTileElements : static_cast<const Bf16Bits*>(t.next_b);
    const int64_t blocks = few || next == nullptr ? 0 : rest > 0 && rest < n ? rest : n;
    SliceAhead slice_ahead(next, b_stride, blocks, t.panels,
                           (groups + 1) / 2 * ((t.panels + 1) / 2));
    for (int p = 0; p < t.panels; p += 2) {
      const Bf16Bits* bp = b + p * b_stride + k * kTileElements;
      for (int g = 0; g < groups; g += 2) {
        const TileRows a0 = group_rows(g, k);
        const TileRows a1 = g + 1 < groups ? group_rows(g + 1, k) : a0;
        float* c = t.c + static_cast<int64_t>(g) * kTileRows * t.ldc + p * kPanel;
        const bool two_rows = groups - g > 1;
        const bool two_columns = t.panels - p > 1;
        const Ahead ahead = slice_ahead.next(n);
        if (two_rows && two_columns) {
          tile_kernel<2, 2>(a0, a1, bp, b_stride, n, c, t.ldc, more, ahead);
        } else if (two_rows) {
          tile_kernel<2, 1>(a0, a1, bp, b_stride, n, c, t.ldc, more, ahead);
        } else if (two_columns) {
          tile_kernel<1, 2>(a0, a1, bp, b_stride, n, c, t.ldc, more, ahead);
        } else {
          tile_kernel<1, 1>(a0, a1, bp, b_stride, n, c, t.ldc, more, ahead);
        }
      }
    }
  }
  _tile_release();
}

}  // namespace
}  // namespace ernie::cpu
