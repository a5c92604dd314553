#include "backend/cuda_factory.h"
#include "kernels/common/arch.h"
#include "kernels/linear/linear.h"
#include "kernels/moe/experts.h"
#include "tests/ops/host_view_backend.h"
#include "tests/ops/op_fixture.h"

// The table of the CUDA backend: activation types on device 0; empty on machines without one.
namespace ernie::op_tests {
namespace {

OpCase make_case(DType dtype, const std::string& name) {
  return {.name = name,
          .dtype = dtype,
          .make_backend = [] { return make_host_view_backend(cuda::make_cuda_backend(0)); },
          .promises = {.same_bits_up_to_rows = kernels::kMaxSmallRows,
                       .expert_ways_end = kernels::arch() >= 90
                                              ? std::vector<int64_t>{1}
                                              : std::vector<int64_t>{1, kernels::kMaxDecodeTokens},
                       .same_bits_however_cut = false,
                       .sums_in_parts = false,
                       .width_granule = 8}};
}

}  // namespace

std::vector<OpCase> op_cases() {
  if (cuda::count_devices().count == 0) return {};
  return {make_case(DType::kF32, "cuda_float32"), make_case(DType::kBF16, "cuda_bfloat16")};
}

std::vector<OpCase> sampling_cases() {
  if (cuda::count_devices().count == 0) return {};
  return {make_case(DType::kF32, "cuda")};
}

}  // namespace ernie::op_tests
