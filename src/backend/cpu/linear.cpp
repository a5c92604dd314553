#include <algorithm>
#include <string>

#include "backend/cpu/cpu_ops.h"
#include "base/check.h"

namespace ernie::cpu {
namespace {

constexpr int kTileColumns = 4 * kPanel;
// Rows are multiplied in passes whose packed form stays below this.
constexpr size_t kPackedBytesPerPass = size_t{16} << 20;
// The packed rows of a tile stay in the second-level cache while all columns pass by.
constexpr size_t kCachedBytes = size_t{1600} << 10;
// Multiply-adds that one thread should at least get.
constexpr int64_t kGrainWork = 65536;
// With many rows one thread takes neighbouring tiles, so that the weights fetched ahead are those
// it wants next, and results may be written past the caches.
constexpr int64_t kManyRows = 65;
constexpr int64_t kMostNeighbours = 4;

}  // namespace

void multiply_in_parts(const TypedKernels& kernels, GemmTile tile, int parts, float* spare) {
  const auto element_bytes = static_cast<int64_t>(kernels.element_bytes);
  const int64_t part = tile.k / parts;
  const void* const next_tile = tile.next_b;
  const int64_t columns = int64_t{tile.panels} * kPanel;
  float* const sum = tile.c;
  for (int p = 0; p < parts; ++p) {
    tile.k_begin = p * part;
    tile.k_end = p + 1 < parts ? (p + 1) * part : tile.k;
    tile.c = p == 0 ? sum : spare;
    tile.next_b = p + 1 < parts
                      ? static_cast<const char*>(tile.b) + tile.k_end * kPanel * element_bytes
                      : next_tile;
    kernels.gemm(tile);
    if (p == 0) continue;
    for (int r = 0; r < tile.rows; ++r) {
      kernels.add_scaled(sum + r * tile.ldc, spare + r * tile.ldc, 1.0f, columns);
    }
  }
}

void CpuBackend::linear(const ops::LinearArgs& a) {
  const auto* w = dynamic_cast<const PackedWeight*>(a.weight);
  CHECK(w != nullptr, "linear: the weight was packed by another backend");
  const int64_t k = w->in_features();
  const int64_t n = w->out_features();
  CHECK(a.x.dtype == w->dtype() && a.x.cols() == k && a.out.cols() == n &&
            a.out.rows() == a.x.rows() && (a.out.dtype == w->dtype() || a.out.dtype == DType::kF32),
        "linear: x " + a.x.shape.to_string() + ", weight [" + std::to_string(n) + ", " +
            std::to_string(k) + "], out " + a.out.shape.to_string());
  CHECK(a.bias.data == nullptr || (a.bias.dtype == w->dtype() && a.bias.shape.elements() == n),
        "linear: bias " + a.bias.shape.to_string());
  const TypedKernels& kernels = typed(w->dtype());
  const size_t in_size = dtype_bytes(a.x.dtype);
  const size_t out_size = dtype_bytes(a.out.dtype);

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
    const bool raw = kernels.gemm_reads_rows && k % kBf16KStep == 0;
    const int64_t unpacked = raw ? rows / step : 0;
    const int64_t to_pack = steps - unpacked;
    for_ranges(to_pack, std::max<int64_t>(1, 32768 / (k * step)),
               [&](int64_t first, int64_t count) {
                 PackRows part = pack;
                 part.first = (unpacked + first) * step;
                 part.count = std::min(count * step, rows - part.first);
                 kernels.pack_rows(part);
               });

    const int64_t row_blocks = (rows + tile_rows - 1) / tile_rows;
    const int64_t tiles = row_blocks * column_tiles;
    const int64_t tile_work = std::min(rows, tile_rows) * kTileColumns * k;
    const int64_t neighbours =
        rows < kManyRows ? 1 : std::min(kMostNeighbours, tiles / (4 * int64_t{pool_.threads()}));
    const int64_t tiles_per_task = std::max({int64_t{1}, kGrainWork / tile_work, neighbours});
    const int parts = w->sum_parts(kernels.gemm_k_step);
    const int64_t tile_floats = std::min(steps * step, tile_rows) * kTileColumns;
    size_t stride = 0;
    char* scratch = thread_scratch(
        static_cast<size_t>(tile_floats) * (parts > 1 ? 2 : 1) * sizeof(float), stride);
    pool_.parallel_for(
        (tiles + tiles_per_task - 1) / tiles_per_task, [&](int64_t task, int thread) {
          const int64_t last = std::min((task + 1) * tiles_per_task, tiles);
          for (int64_t t = task * tiles_per_task; t < last; ++t) {
            const int64_t column = t % column_tiles * kTileColumns;
            const int64_t row = t / column_tiles * tile_rows;
            const int64_t columns = std::min<int64_t>(kTileColumns, n - column);
            GemmTile g;
            g.a = pack.dst;
            g.row = row;
            g.rows = static_cast<int>(std::min(tile_rows, rows - row));
            if (raw) g.raw = pack.src;
            g.raw_stride = k;
            g.b = w->panel(column / kPanel);
            g.panels = static_cast<int>((columns + kPanel - 1) / kPanel);
            g.k = k;
            g.c = reinterpret_cast<float*>(scratch + stride * static_cast<size_t>(thread));
            g.ldc = kTileColumns;
            if (column + kTileColumns < n) g.next_b = w->panel((column + kTileColumns) / kPanel);
            multiply_in_parts(kernels, g, parts, g.c + tile_floats);
            StoreTile s;
            s.c = g.c;
            s.ldc = g.ldc;
            s.rows = g.rows;
            s.cols = static_cast<int>(columns);
            if (a.bias.data) s.bias = a.bias.as<char>() + static_cast<size_t>(column) * in_size;
            s.activation = static_cast<int>(a.activation);
            s.out = a.out.as<char>() + static_cast<size_t>((begin + row) * n + column) * out_size;
            s.out_stride = n;
            s.out_f32 = a.out.dtype == DType::kF32;
            s.many_rows = rows >= kManyRows;
            kernels.store_tile(s);
          }
        });
  }
}

}  // namespace ernie::cpu
