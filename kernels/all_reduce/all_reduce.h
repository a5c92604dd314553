#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/common/element_type.h"

// Sum over the GPUs of one process through memory they map of each other, without any other
// library. Every rank launches the same calls in the same order on a stream of its own GPU. Sums
// are float32 in rank order, rounded once, so all ranks get the same bits. Calls can be captured in
// graphs: what changes from call to call (an epoch) is counted in device memory.
//
// Small messages go in one shot: every rank writes all of its data into every other's memory, in
// lines of 12 bytes with a flag of 4 that arrive as a whole, so that a line's arrival needs no
// further signal (after NCCL's LL protocol, whose flags are half of what it sends). Larger ones go
// in two: each rank adds up one share and hands it round, with flags per block.
namespace ernie::kernels {

constexpr int kMaxAllReduceRanks = 8;
constexpr int kMaxAllReduceBlocks = 256;

struct AllReduceSetup {
  int rank = 0;
  int size = 1;
  // Rank r's buffer as this GPU addresses it: all_reduce_buffer_bytes() of rank r's memory, zeroed
  // before the first call of any rank, 256-byte aligned. The same arguments on all ranks.
  void* buffers[kMaxAllReduceRanks] = {};
  size_t max_bytes = 0;  // of one launch; a longer message takes several
  // Messages up to this many bytes go in one shot, and those with a norm in several of them.
  size_t one_shot_bytes = 0;
  // Blocks of a launch; all of them must be able to run at once with the other ranks' (which is
  // only a matter where ranks share a GPU). 0: as many as the GPU runs at once.
  int max_blocks = 0;
  // Memory of the host, mapped, each optional. A wait gives up when *abort is not zero or after
  // *time_limit_ms, and then sets *fault to 1 + the rank that it waited for; from then on this
  // rank's calls return without waiting and their results mean nothing.
  const uint32_t* abort = nullptr;
  const uint32_t* time_limit_ms = nullptr;
  uint32_t* fault = nullptr;
};

// Where two shots begin to be faster, by the bytes that cross the links.
size_t default_one_shot_bytes(int size);
size_t all_reduce_buffer_bytes(int size, size_t max_bytes, size_t one_shot_bytes);

// While a rehearsal is on, this rank's calls do not wait for other ranks and their results mean
// nothing. All ranks must make the same calls in it, and have ended them before any turns it off.
cudaError_t rehearse_all_reduce(const AllReduceSetup& setup, bool on, cudaStream_t stream);

// `in` and `out` are 16-byte aligned, and `in` is a multiple of 16 bytes long.
struct AllReduceParams {
  const void* in = nullptr;  // [count] type
  void* out = nullptr;       // [count] out_type; may be `in` where the types are the same
  ElementType type = ElementType::kF32;
  ElementType out_type = ElementType::kF32;  // `type`, or bfloat16
  int64_t count = 0;
};
cudaError_t launch_all_reduce(const AllReduceSetup& setup, const AllReduceParams& params,
                              cudaStream_t stream);

// residual += sum of `in` over ranks, rounded to norm_type before and after the addition; then
// out = RMSNorm(residual) * weight, as ResidualRmsNormArgs of src/ops/params.h. The weight may be
// read before the kernel that was launched just before has ended.
struct AllReduceNormParams {
  const void* in = nullptr;                   // [rows, width] type
  ElementType type = ElementType::kF32;       // float32, or norm_type
  ElementType norm_type = ElementType::kF32;  // of residual, weight and out
  void* residual = nullptr;                   // [rows, width], updated
  const void* weight = nullptr;               // [width]
  void* out = nullptr;                        // [rows, width]
  float eps = 1e-5f;
  int64_t rows = 0;
  int width = 0;  // a multiple of 32, at most 12288; a row at most one_shot_bytes
};
bool all_reduce_norm_takes(int width);
cudaError_t launch_all_reduce_norm(const AllReduceSetup& setup, const AllReduceNormParams& params,
                                   cudaStream_t stream);

// out [rows, size * row_bytes] receives every rank's part [rows, row_bytes], rank 0 leftmost.
struct AllGatherParams {
  const void* part = nullptr;  // 16-byte aligned
  void* out = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;  // a multiple of 16, at most max_bytes / size
};
cudaError_t launch_all_gather_columns(const AllReduceSetup& setup, const AllGatherParams& params,
                                      cudaStream_t stream);

}  // namespace ernie::kernels
