#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/weight_panels.h"
#include "base/check.h"

namespace ernie::cpu {
namespace {

constexpr int kTileColumns = 4 * kPanel;
// Rows are multiplied in passes whose packed form stays below this.
constexpr size_t kPackedBytesPerPass = size_t{16} << 20;
// The packed rows of a tile stay in the second-level cache while all columns pass by.
constexpr size_t kCachedBytes = size_t{1600} << 10;
// The same where C and the weights pass through that cache as well.
constexpr size_t kKeptBytes = size_t{1} << 20;
// Multiply-adds that one thread should at least get.
constexpr int64_t kGrainWork = 65536;
// From so many rows on linear_in_slices() is the faster way, with kernels that know it.
constexpr int64_t kSlicedRows = 33;
// With so many rows results may be written past the caches.
constexpr int64_t kManyRows = 65;
// One thread takes neighbouring tiles: it fetches the weights of the next one ahead.
constexpr int64_t kMostNeighbours = 4;

// Sums over k are taken in `parts` equal parts that are then added in order: all but the last in
// tile.c, the last, which store() adds, in `spare`. multiply(tile) takes one; `spare` has the size
// of tile.c and is not used for one part.
template <class Multiply>
void multiply_in_parts(const TypedKernels& kernels, GemmTile tile, int parts, float* spare,
                       const Multiply& multiply) {
  const int64_t part = tile.k / parts;
  const int64_t columns = int64_t{tile.panels} * kPanel;
  float* const sum = tile.c;
  for (int p = 0; p < parts; ++p) {
    tile.k_begin = p * part;
    tile.k_end = p + 1 < parts ? (p + 1) * part : tile.k;
    tile.c = p == 0 ? sum : spare;
    multiply(tile);
    if (p == 0 || p + 1 == parts) continue;
    for (int r = 0; r < tile.rows; ++r) {
      kernels.add_scaled(sum + r * tile.ldc, spare + r * tile.ldc, 1.0f, columns);
    }
  }
}

// Stores a tile of C, plus `more` unless null, as columns [column, column + columns) of rows
// [row, row + tile.rows).
void store(const TypedKernels& kernels, const ops::LinearArgs& a, const GemmTile& tile,
           const float* more, int64_t row, int64_t column, int64_t columns) {
  StoreTile s;
  s.c = tile.c;
  s.more = more;
  s.ldc = tile.ldc;
  s.rows = tile.rows;
  s.cols = static_cast<int>(columns);
  if (a.bias.data) {
    s.bias = a.bias.as<char>() + static_cast<size_t>(column) * dtype_bytes(a.bias.dtype);
  }
  s.activation = static_cast<int>(a.activation);
  s.out = a.out.as<char>() +
          static_cast<size_t>(row * a.out.cols() + column) * dtype_bytes(a.out.dtype);
  s.out_stride = a.out.cols();
  s.out_f32 = a.out.dtype == DType::kF32;
  s.many_rows = a.out.rows() >= kManyRows;
  kernels.store_tile(s);
}

int64_t parts_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Blocks of rows and of columns, each pair a task for one thread, which packs the rows for itself:
// the wider the columns, the less often rows are packed; the more rows, the less often weights are
// read.
struct TaskBlocks {
  int64_t row_blocks;
  int64_t column_blocks;

  TaskBlocks(int64_t rows, int64_t columns, int64_t threads) {
    constexpr int64_t kMostRows = 512, kMostColumns = 512, kFewColumns = 256, kFewRows = 128;
    row_blocks = parts_of(rows, kMostRows);
    while (true) {
      const int64_t even = threads / std::gcd(threads, row_blocks);
      column_blocks = parts_of(parts_of(columns, kMostColumns), even) * even;
      if (columns / column_blocks >= kFewColumns || rows / row_blocks < 2 * kFewRows) return;
      row_blocks *= 2;
    }
  }
};

}  // namespace

// For many rows: sums are added up slice by slice of k in C, which stays in the second-level cache
// with the rows of the slice, while weights come from memory once.
void CpuBackend::linear_in_slices(const ops::LinearArgs& a, const WeightPanels& w) {
  const TypedKernels& kernels = typed(a.x.dtype);
  const int64_t k = w.in_features();
  const int64_t n = w.out_features();
  const auto size = static_cast<int64_t>(dtype_bytes(a.x.dtype));
  const TaskBlocks blocks(a.x.rows(), n, pool_.threads());
  const int64_t step = kernels.gemm_row_step;
  const int64_t block_rows = parts_of(parts_of(a.x.rows(), blocks.row_blocks), step) * step;
  const int64_t pairs = parts_of(n, 2 * kPanel);
  const int64_t block_columns = parts_of(pairs, blocks.column_blocks) * 2 * kPanel;
  // Few slices stay packed while narrow tiles of C pass by.
  const bool keep = kernels.packed_rows_bytes(block_rows, k) <= kKeptBytes;
  const int64_t tile_columns = keep ? kTileColumns : block_columns;
  const int64_t ldc = tile_columns + kPanel;  // rows of C in different sets of the caches
  const int parts = w.sum_parts();
  const size_t packed_bytes =
      kernels.packed_rows_bytes(block_rows, keep ? k : int64_t{kernels.gemm_slice});
  const size_t sums_bytes =
      packed_bytes + static_cast<size_t>(block_rows * ldc) * (parts > 1 ? 2 : 1) * sizeof(float);
  size_t stride = 0;
  char* scratch = thread_scratch(sums_bytes + w.scratch_bytes(block_rows), stride);
  std::vector<int64_t> kept(static_cast<size_t>(pool_.threads()), -1);  // rows that are packed
  pool_.parallel_for(blocks.row_blocks * blocks.column_blocks, [&](int64_t task, int thread) {
    const int64_t row = task / blocks.column_blocks * block_rows;
    const int64_t block = task % blocks.column_blocks;
    const int64_t first = pairs * block / blocks.column_blocks * 2 * kPanel;
    const int64_t last = std::min(n, pairs * (block + 1) / blocks.column_blocks * 2 * kPanel);
    char* packed = scratch + stride * static_cast<size_t>(thread);
    GemmTile tile;
    tile.rows = static_cast<int>(std::min(block_rows, a.x.rows() - row));
    if (tile.rows <= 0) return;
    tile.k = k;
    tile.c = reinterpret_cast<float*>(packed + packed_bytes);
    tile.ldc = ldc;
    for (int64_t column = first; column < last; column += tile_columns) {
      const int64_t columns = std::min(tile_columns, last - column);
      const bool pack = kept[static_cast<size_t>(thread)] != row;
      const int64_t panel = column / kPanel;
      tile.panels = static_cast<int>(parts_of(columns, kPanel));
      const void* next_tile =
          column + columns < n ? w.address((column + columns) / kPanel, 0) : nullptr;
      float* const spare = parts > 1 ? tile.c + block_rows * ldc : nullptr;
      multiply_in_parts(kernels, tile, parts, spare, [&](const GemmTile& part) {
        GemmTile g = part;
        for (int64_t begin = part.k_begin; begin < part.k_end; begin = g.k_end) {
          char* rows = packed + (keep ? kernels.packed_rows_bytes(block_rows, begin) : 0);
          g.a = rows;
          g.add = begin > part.k_begin;
          g.k_begin = begin;
          g.k_end = std::min(begin + kernels.gemm_slice, part.k_end);
          g.a_begin = begin;
          g.a_k = g.k_end - begin;
          g.next_b = g.k_end < k ? w.address(panel, g.k_end) : next_tile;
          if (pack) {
            kernels.pack_rows({a.x.as<char>() + (row * k + begin) * size, k, nullptr,
                               g.k_end - begin, 0, g.rows, rows});
          }
          w.multiply(g, panel, packed + sums_bytes);
        }
        w.finish(part, panel);
      });
      if (keep) kept[static_cast<size_t>(thread)] = row;
      store(kernels, a, tile, spare, row, column, columns);
    }
  });
}

void CpuBackend::do_linear(const ops::LinearArgs& a) {
  const TypedKernels& kernels = typed(a.x.dtype);
  const WeightPanels w(*a.weight, kernels);
  const int64_t k = w.in_features();
  const int64_t n = w.out_features();
  const size_t in_size = dtype_bytes(a.x.dtype);
  if (kernels.gemm_slice > 0 && a.x.rows() >= kSlicedRows) return linear_in_slices(a, w);

  const int64_t step = kernels.gemm_row_step;
  const auto cached = static_cast<int64_t>(kCachedBytes / kernels.packed_rows_bytes(step, k));
  const int64_t most_rows = std::clamp(cached * step, step, int64_t{kernels.gemm_tile_rows});
  const int64_t tiles_high = (a.x.rows() + most_rows - 1) / most_rows;
  const int64_t tile_rows =
      ((a.x.rows() + tiles_high - 1) / std::max<int64_t>(tiles_high, 1) + step - 1) / step * step;
  const int64_t fit =
      static_cast<int64_t>(kPackedBytesPerPass / kernels.packed_rows_bytes(tile_rows, k));
  const int64_t pass_rows = std::max<int64_t>(fit, 1) * tile_rows;
  const int64_t column_tiles = (n + kTileColumns - 1) / kTileColumns;

  for (int64_t begin = 0; begin < a.x.rows(); begin += pass_rows) {
    const int64_t rows = std::min(pass_rows, a.x.rows() - begin);
    PackRows pack;
    pack.src = a.x.as<char>() + static_cast<size_t>(begin * k) * in_size;
    pack.src_stride = k;
    pack.k = k;
    pack.dst = packed_.get(kernels.packed_rows_bytes(rows, k));
    const int64_t steps = (rows + step - 1) / step;
    for_ranges(steps, std::max<int64_t>(1, 32768 / (k * step)), [&](int64_t first, int64_t count) {
      PackRows part = pack;
      part.first = first * step;
      part.count = std::min(count * step, rows - part.first);
      kernels.pack_rows(part);
    });

    const int64_t row_blocks = (rows + tile_rows - 1) / tile_rows;
    const int64_t tiles = row_blocks * column_tiles;
    const int64_t tile_work = std::min(rows, tile_rows) * kTileColumns * k;
    const int64_t neighbours = std::min(kMostNeighbours, tiles / (4 * int64_t{pool_.threads()}));
    const int64_t tiles_per_task = std::max({int64_t{1}, kGrainWork / tile_work, neighbours});
    const int parts = w.sum_parts();
    const int64_t tile_floats = std::min(steps * step, tile_rows) * kTileColumns;
    const size_t sums_bytes =
        static_cast<size_t>(tile_floats) * (parts > 1 ? 2 : 1) * sizeof(float);
    size_t stride = 0;
    char* scratch = thread_scratch(sums_bytes + w.scratch_bytes(std::min(rows, tile_rows)), stride);
    const auto multiply_tile = [&](int64_t t, int thread) {
      const int64_t column = t % column_tiles * kTileColumns;
      const int64_t row = t / column_tiles * tile_rows;
      const int64_t columns = std::min<int64_t>(kTileColumns, n - column);
      char* const sums = scratch + stride * static_cast<size_t>(thread);
      GemmTile g;
      g.a = pack.dst;
      g.row = row;
      g.rows = static_cast<int>(std::min(tile_rows, rows - row));
      g.panels = static_cast<int>((columns + kPanel - 1) / kPanel);
      g.k = k;
      g.c = reinterpret_cast<float*>(sums);
      g.ldc = kTileColumns;
      float* const spare = parts > 1 ? g.c + tile_floats : nullptr;
      multiply_in_parts(kernels, g, parts, spare, [&](const GemmTile& part) {
        w.multiply(part, column / kPanel, sums + sums_bytes);
        w.finish(part, column / kPanel);
      });
      store(kernels, a, g, spare, begin + row, column, columns);
    };
    const int64_t tasks = (tiles + tiles_per_task - 1) / tiles_per_task;
    pool_.parallel_for(tasks, [&](int64_t task, int thread) {
      const int64_t last = std::min((task + 1) * tiles_per_task, tiles);
      for (int64_t t = task * tiles_per_task; t < last; ++t) multiply_tile(t, thread);
    });
  }
}

}  // namespace ernie::cpu
