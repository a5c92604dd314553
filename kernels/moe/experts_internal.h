#pragma once

#include <cstdint>

#include "kernels/moe/experts.h"

// What the ways of computing the expert MLP share.
namespace ernie::kernels::moe {

// The workspace. Rows are (token, expert) pairs in the order of launch_moe_permute; those of the
// shared expert come last.
struct Scratch {
  int32_t* offsets;    // [experts + 1]
  int32_t* row_token;  // [rows]
  int32_t* pair_row;   // [tokens * top_k]
  void* inner;         // [rows, inner_stride] T: swiglu(gate, up)
  float* result;       // [rows, hidden]: not yet weighted
};

// Everything a kernel gets.
struct Problem {
  MoeExpertsParams p;
  Scratch scratch;
  int experts;       // without the shared one
  int inner_stride;  // the widest expert
};

// Each launches both matrix products; the sort is left to the caller except in decode, which does
// its own and leaves offsets and pair_row in the workspace.
cudaError_t launch_decode(const Problem& problem, cudaStream_t stream);
bool single_takes(const MoeExpertsParams& p);
cudaError_t launch_single(const Problem& problem, cudaStream_t stream);  // all of the MLP
cudaError_t launch_ampere(const Problem& problem, cudaStream_t stream);
cudaError_t launch_hopper(const Problem& problem, cudaStream_t stream);
// Quantised weights; up to kMaxDecodeTokens tokens it does its own sort, too, and leaves pair_row.
cudaError_t launch_quantized(const Problem& problem, cudaStream_t stream);
// The same for many tokens, sorted by the caller; sm_90a.
cudaError_t launch_quantized_hopper(const Problem& problem, cudaStream_t stream);
cudaError_t launch_float32(const Problem& problem, cudaStream_t stream);

}  // namespace ernie::kernels::moe
