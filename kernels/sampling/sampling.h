#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/sampling/sampling_rows.h"

// Chooses one token per row of logits, on the device, in one launch. The rules are those of
// src/ops/sampling.h, in its order: forced token, allowed tokens, logit bias, banned
// tokens, penalties, temperature, min-p, top-k, top-p, draw. Nothing is sorted: top-k is a radix
// selection and top-p is rejection with two pivots (FlashInfer, arXiv 2501.01005), with the random
// numbers and the order of decisions of the CPU backend's rejection class, so both draw the same
// token unless a decision falls within float rounding.
namespace ernie::kernels {

struct SamplingParams {
  const float* logits = nullptr;  // [max_rows, vocab], rows row_stride apart; not changed
  int64_t row_stride = 0;
  int vocab = 0;
  int max_rows = 0;                   // the grid; fixed in a graph
  const int32_t* num_rows = nullptr;  // device: rows in use, at most max_rows; null = max_rows
  const SamplingRow* rows = nullptr;  // [max_rows]
  const TokenBias* biases = nullptr;
  const int32_t* banned = nullptr;
  const TokenCount* penalties = nullptr;
  const uint32_t* allowed = nullptr;  // [rows, ceil(vocab / 32)]: bit i % 32 of word i / 32
  void* workspace = nullptr;          // sampling_workspace_bytes(), 16-byte aligned
  int32_t* tokens =
      nullptr;  // out [max_rows]: SampledRow::token, as the next step's input; may be null
  SampledRow* results = nullptr;  // out [max_rows]; rows not in use are left as they are
};

cudaError_t launch_sampling(const SamplingParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
