#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace ernie::kernels {

// Copies of whole rows, of any element type.
struct GatherRowsParams {
  const void* in = nullptr;
  const int32_t* index = nullptr;  // [count]
  void* out = nullptr;
  int64_t count = 0;
  size_t row_bytes = 0;
  int32_t first_row = 0;   // subtracted from each index
  int64_t table_rows = 0;  // rows of `in`
};

// out[i] = in[index[i] - first_row], or zeros when `in` has no such row.
cudaError_t launch_gather_rows(const GatherRowsParams& params, cudaStream_t stream);

// ids[i] = drawn[sources[i]] where sources[i] >= 0: tokens of a step take the place of numbers that
// the host did not know when it planned the next one.
struct ResolveTokensParams {
  const int32_t* drawn = nullptr;
  const int32_t* sources = nullptr;  // [count]
  int32_t* ids = nullptr;            // [count], updated
  int count = 0;
};
cudaError_t launch_resolve_tokens(const ResolveTokensParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
