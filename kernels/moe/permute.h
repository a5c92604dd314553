#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace ernie::kernels {

// Sorts the (token, choice) pairs of a step by expert, rising tokens inside an expert: the rows of
// the grouped matrix products. A pair whose id is not in [0, experts) gets no row.
struct MoePermuteParams {
  const int32_t* expert_ids = nullptr;  // [tokens, top_k]
  int tokens = 0;
  int top_k = 0;
  int experts = 0;           // at most 256
  bool shared_rows = false;  // append one row for every token, in order, from row tokens * top_k on
  int32_t* offsets = nullptr;    // out [experts + 1]: first row of each expert, then the end
  int32_t* row_token = nullptr;  // out [tokens * (top_k + shared_rows)]: token of each row
  int32_t* pair_row = nullptr;   // out [tokens * top_k]: row of each pair, or -1
};

cudaError_t launch_moe_permute(const MoePermuteParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
