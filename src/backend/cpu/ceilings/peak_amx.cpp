#include <immintrin.h>

#include "backend/cpu/ceilings/ceilings.h"

namespace ernie::cpu {

namespace {

// Eight tiles of 16 rows of 64 bytes. A constant, because the compiler knows only of the first
// bytes that _tile_loadconfig reads.
constexpr struct alignas(64) {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
} kTileConfig;

}  // namespace

double run_peak_amx(int64_t rounds) {
  _tile_loadconfig(&kTileConfig);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t i = 0; i < rounds; i += 16) {  // one round is far longer than of the others
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  const int64_t done = (rounds + 15) / 16;
  return static_cast<double>(done) * 4 * 16 * 16 * 32 * 2;
}

}  // namespace ernie::cpu
