#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vector.cuh"
#include "kernels/rows/rows.h"

namespace ernie::kernels {
namespace {

constexpr int kThreads = 128;
// Units that one block copies of a row; wider rows take several blocks.
constexpr int64_t kUnitsPerBlock = 4 * kThreads;

template <class Unit>
__global__ __launch_bounds__(kThreads) void gather_rows_kernel(GatherRowsParams p, int64_t units) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int64_t i = blockIdx.x;
  const int64_t row = static_cast<int64_t>(p.index[i]) - p.first_row;
  const bool inside = row >= 0 && row < p.table_rows;
  const Unit* in = static_cast<const Unit*>(p.in) + row * units;
  Unit* out = static_cast<Unit*>(p.out) + i * units;
  const int64_t end = min(units, (blockIdx.y + int64_t{1}) * kUnitsPerBlock);
  for (int64_t u = blockIdx.y * kUnitsPerBlock + threadIdx.x; u < end; u += kThreads) {
    out[u] = inside ? in[u] : Unit{};
  }
}

template <class Unit>
cudaError_t launch_units(const GatherRowsParams& p, cudaStream_t stream) {
  const int64_t units = static_cast<int64_t>(p.row_bytes / sizeof(Unit));
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(p.count),
                                       static_cast<unsigned>(ceil_div(units, kUnitsPerBlock))),
                          .block = dim3(kThreads),
                          .overlap_previous = true};
  return launch(gather_rows_kernel<Unit>, shape, stream, p, units);
}

__global__ __launch_bounds__(kThreads) void resolve_tokens_kernel(ResolveTokensParams p) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= p.count) return;
  const int32_t source = p.sources[i];
  if (source >= 0) p.ids[i] = p.drawn[source];
}

}  // namespace

cudaError_t launch_resolve_tokens(const ResolveTokensParams& params, cudaStream_t stream) {
  if (params.count == 0) return cudaSuccess;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(ceil_div(params.count, kThreads))),
                          .block = dim3(kThreads),
                          .overlap_previous = true};
  return launch(resolve_tokens_kernel, shape, stream, params);
}

cudaError_t launch_gather_rows(const GatherRowsParams& p, cudaStream_t stream) {
  if (p.count == 0 || p.row_bytes == 0) return cudaSuccess;
  if (p.count < 0 || p.count > INT32_MAX) return cudaErrorInvalidValue;
  const uintptr_t mix = reinterpret_cast<uintptr_t>(p.in) | reinterpret_cast<uintptr_t>(p.out) |
                        static_cast<uintptr_t>(p.row_bytes);
  if (mix % 16 == 0) return launch_units<uint4>(p, stream);
  if (mix % 4 == 0) return launch_units<uint32_t>(p, stream);
  if (mix % 2 == 0) return launch_units<uint16_t>(p, stream);
  return launch_units<uint8_t>(p, stream);
}

}  // namespace ernie::kernels
