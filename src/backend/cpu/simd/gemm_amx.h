#pragma once

// Matrix products with AMX tiles (TDPBF16PS: 16 x 16 sums over 32 k at once). Include simd/gemm.h
// before. Every element of C is one chain over blocks of 32 k; rows beyond the last are zeros.

namespace ernie::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr size_t kLineBytes = kBf16KStep * sizeof(Bf16Bits);        // a row of a tile
constexpr int64_t kTileElements = int64_t{kTileRows} * kBf16KStep;  // 1 KiB of bfloat16

// Packed rows: tiles [rows / 16][k / 32][16][32] bfloat16, padded with zeros.
inline int64_t tile_depth(int64_t k) { return (k + kBf16KStep - 1) / kBf16KStep; }

inline size_t packed_tile_rows_bytes(int64_t rows, int64_t k) {
  const int64_t groups = (rows + kTileRows - 1) / kTileRows;
  return static_cast<size_t>(groups * tile_depth(k) * kTileElements) * sizeof(Bf16Bits);
}

// All rows of a tile at once: many short streams from memory are faster than one.
void pack_tile_rows(const PackRows& p) {
  const int64_t depth = tile_depth(p.k);
  const int64_t last = p.first + p.count;
  for (int64_t first = p.first; first < last; first += kTileRows) {
    Bf16Bits* out = static_cast<Bf16Bits*>(p.dst) + first / kTileRows * depth * kTileElements;
    const int rows = last - first < kTileRows ? static_cast<int>(last - first) : kTileRows;
    const Bf16Bits* in[kTileRows];
    for (int r = 0; r < rows; ++r) {
      const int64_t row = p.index ? p.index[first + r] : first + r;
      in[r] = static_cast<const Bf16Bits*>(p.src) + row * p.src_stride;
    }
    for (int64_t k = 0; k < p.k; k += kBf16KStep) {
      if (rows < kTileRows || p.k - k < kBf16KStep) {
        __builtin_memset(out, 0, kTileElements * sizeof(Bf16Bits));
      }
      for (int r = 0; r < rows; ++r, out += kBf16KStep) {
        if (p.k - k >= kBf16KStep) {
          __builtin_memcpy(out, in[r] + k, kBf16KStep * sizeof(Bf16Bits));
        } else {
          __builtin_memcpy(out, in[r] + k, static_cast<size_t>(p.k - k) * sizeof(Bf16Bits));
        }
      }
      out += (kTileRows - rows) * kBf16KStep;
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

// What to fetch into the first-level cache meanwhile.
struct Ahead {
  const Bf16Bits* b = nullptr;  // `lines` of 64 bytes with each block of k
  int lines = 0;
  const float* c = nullptr;  // 32 x 32, unless null
};

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

// c[32 or 16 rows][32 or 16 columns] (+)= a * b over `depth` blocks of k. Tiles 0-3 hold C, 4-5 A,
// 6-7 B. `c` has room for whole tiles.
template <int kRowTiles, int kColumnTiles>
inline void tile_kernel(const Bf16Bits* a, int64_t a_stride, const Bf16Bits* b, int64_t b_stride,
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
    _tile_stream_loadd(4, a + i * kTileElements, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kColumnTiles > 1) {
      _tile_loadd(7, b + b_stride + i * kTileElements, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kRowTiles > 1) {
      _tile_stream_loadd(5, a + a_stride + i * kTileElements, 64);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kColumnTiles > 1) _tile_dpbf16ps(3, 5, 7);
    }
    for (int line = 0; line < ahead.lines; ++line, ahead.b += kBf16KStep) prefetch(ahead.b);
    if (ahead.c != nullptr && i < kTileRows) {
      for (int row = 0; row < 2; ++row, ahead.c += ldc) {
        prefetch(ahead.c);
        prefetch(ahead.c + kPanel);
      }
    }
  }
  _tile_stored(0, c, c_bytes);
  if constexpr (kColumnTiles > 1) _tile_stored(1, c + kPanel, c_bytes);
  if constexpr (kRowTiles > 1) _tile_stored(2, c + kTileRows * ldc, c_bytes);
  if constexpr (kRowTiles > 1 && kColumnTiles > 1) {
    _tile_stored(3, c + kTileRows * ldc + kPanel, c_bytes);
  }
}

// Spreads the fetching of two panels over `blocks` of k among the calls of the kernel before them,
// half of the lines, in runs: the processor foresees the others.
class PairAhead {
 public:
  PairAhead(const Bf16Bits* first, int64_t b_stride, int64_t blocks, int calls)
      : first_(first), b_stride_(b_stride), calls_((calls + 1) / 2) {
    lines_ = (kTileRows / 2 + calls_ - 1) / calls_;
    step_ = 2 * blocks * lines_ * kBf16KStep;
  }
  // For one call; c is the tile of the call after it.
  Ahead next(int call, const float* c) const {
    const bool second = call >= calls_;
    return {first_ + (second ? b_stride_ : 0) + (second ? call - calls_ : call) * step_, lines_, c};
  }

 private:
  const Bf16Bits* first_;
  int64_t b_stride_;
  int64_t step_;  // elements from one call to the next
  int calls_;     // for one panel
  int lines_;
};

// Blocks of k per step: two panels of it stay in the first-level cache, where A, loaded with a hint
// that it will not be wanted soon, does not displace them.
constexpr int kSliceBlocks = 16;

void gemm_tile_rows(const GemmTile& t) {
  constexpr int kFewGroups = 2;
  _tile_loadconfig(&kTileConfig);
  const int64_t begin = t.k_begin / kBf16KStep;
  const int64_t end = tile_depth(t.k_end);
  const int64_t a_begin = t.a_begin / kBf16KStep;
  const int64_t b_begin = t.b_begin / kBf16KStep;
  // From one group of 16 rows, and from one panel, to the next.
  const int64_t a_stride = tile_depth(t.a_k > 0 ? t.a_k : t.k) * kTileElements;
  const int64_t b_stride = tile_depth(t.b_k > 0 ? t.b_k : t.k) * kTileElements;
  const Bf16Bits* a = static_cast<const Bf16Bits*>(t.a) + t.row / kTileRows * a_stride;
  const Bf16Bits* b = static_cast<const Bf16Bits*>(t.b);
  const int groups = (t.rows + kTileRows - 1) / kTileRows;
  // Few rows read all of a panel in one go, which the processor foresees by itself.
  const bool few = groups <= kFewGroups;
  const int64_t slice = few ? end - begin : kSliceBlocks;
  for (int64_t k = begin; k < end; k += slice) {
    const int64_t n = end - k < slice ? end - k : slice;
    const bool add = t.add || k > begin;
    for (int p = 0; p < t.panels; p += 2) {
      const Bf16Bits* bp = b + p * b_stride + (k - b_begin) * kTileElements;
      const Bf16Bits* next = bp;
      if (p + 2 < t.panels) {
        next = bp + 2 * b_stride;
      } else if (k + n < end) {
        next = b + (k + n - b_begin) * kTileElements;
      } else if (t.next_b != nullptr) {
        next = static_cast<const Bf16Bits*>(t.next_b);
      }
      const PairAhead pair_ahead(next, b_stride, n, (groups + 1) / 2);
      for (int g = 0; g < groups; g += 2) {
        const Bf16Bits* ag = a + g * a_stride + (k - a_begin) * kTileElements;
        float* c = t.c + static_cast<int64_t>(g) * kTileRows * t.ldc + p * kPanel;
        const float* next_c = g + 2 < groups ? c + 2 * kTileRows * t.ldc : t.c + (p + 2) * kPanel;
        const bool two_rows = groups - g > 1;
        const bool two_columns = t.panels - p > 1;
        const Ahead ahead = few ? Ahead{} : pair_ahead.next(g / 2, next_c);
        if (two_rows && two_columns) {
          tile_kernel<2, 2>(ag, a_stride, bp, b_stride, n, c, t.ldc, add, ahead);
        } else if (two_rows) {
          tile_kernel<2, 1>(ag, a_stride, bp, b_stride, n, c, t.ldc, add, ahead);
        } else if (two_columns) {
          tile_kernel<1, 2>(ag, a_stride, bp, b_stride, n, c, t.ldc, add, ahead);
        } else {
          tile_kernel<1, 1>(ag, a_stride, bp, b_stride, n, c, t.ldc, add, ahead);
        }
      }
    }
  }
  _tile_release();
}

}  // namespace
}  // namespace ernie::cpu
