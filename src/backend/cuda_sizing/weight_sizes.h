#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/sizing.h"

// Sizes of packed matrices.
namespace ernie::cuda {

// Of the elements of a matrix that is not quantised.
size_t matrix_bytes(int64_t out_features, int64_t in_features, DType dtype);

// Of quantised values; scales lie behind them, at a multiple of the arena's alignment.
size_t value_bytes(int64_t out_features, int64_t in_features, const ops::PackSpec& spec);

// Of the whole, SlabArena::piece_bytes() included.
size_t packed_bytes(int64_t out_features, int64_t in_features, const ops::PackSpec& spec);

}  // namespace ernie::cuda
