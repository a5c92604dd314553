#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/common/element_type.h"
#include "kernels/common/weight_format.h"
#include "kernels/elementwise/elementwise.h"

namespace ernie::kernels {

// out = activation(x * W^T + bias), added up in float32 and rounded once.
struct LinearParams {
  const void* x = nullptr;       // [rows, in_features] T
  const void* weight = nullptr;  // [out_features, in_features] T, or quantised in kPlain order
  WeightFormat format = {};      // of the weight
  const void* scales = nullptr;  // of a quantised weight
  const void* bias = nullptr;    // [out_features] T, or null
  void* out = nullptr;           // [rows, out_features] out_type
  int64_t rows = 0;
  int64_t in_features = 0;
  int64_t out_features = 0;
  Activation activation = Activation::kNone;
  ElementType type = ElementType::kBF16;      // T
  ElementType out_type = ElementType::kBF16;  // T or float32
};

// Few rows, bfloat16: reads W once at memory speed. A row's bits depend on the row alone: W is cut
// along in_features in a way that in_features alone decides.
constexpr int64_t kMaxSmallRows = 16;
bool linear_small_fits(const LinearParams& params);  // rows, type, alignment
cudaError_t launch_linear_small(const LinearParams& params, cudaStream_t stream);

// Quantised weights and bfloat16 rows: reads W once at memory speed for up to kMaxSmallRows rows,
// and again, from L2 for the most part, for as many more. A row's bits depend on the row alone.
bool linear_quantized_fits(const LinearParams& params);  // type, alignment
cudaError_t launch_linear_quantized(const LinearParams& params, cudaStream_t stream);

// Any shape, type, format and alignment, at the speed of plain dot products. A row's bits depend on
// the row alone.
cudaError_t launch_linear_dot(const LinearParams& params, cudaStream_t stream);

// Quantised weights and many bfloat16 rows on sm_90a, without bias and activation; in_features and
// out_features are multiples of 8, x and out 16-byte aligned. A row's bits depend on the row alone.
bool linear_quantized_hopper_fits(const LinearParams& params);  // device, format, type, alignment
cudaError_t launch_linear_quantized_hopper(const LinearParams& params, cudaStream_t stream);

struct LinearStatus {
  cudaError_t cuda = cudaSuccess;
  const char* library = nullptr;  // name of cuBLASLt's error, or null
  bool ok() const { return cuda == cudaSuccess && library == nullptr; }
};

// Device memory that a Linear works in, both aligned to 256 bytes.
struct LinearMemory {
  void* workspace = nullptr;  // for cuBLASLt
  size_t workspace_bytes = 0;
  float* sums = nullptr;  // results that still want bias and activation, some rows at a time
  size_t sums_bytes = 0;  // at least one row's: 4 * out_features
};
constexpr size_t kLinearWorkspaceBytes = size_t{32} << 20;
constexpr size_t kLinearSumsBytes = size_t{32} << 20;

// Matrix products of one device, used by one thread at a time. Chooses between the kernels above
// and cuBLASLt, without split-K: a sum is never taken in an order that depends on timing. float32
// is true float32. The first product of a shape asks cuBLASLt's heuristics, on the host.
class Linear {
 public:
  // Throws nothing: status() says whether cuBLASLt could be started.
  explicit Linear(const LinearMemory& memory);
  ~Linear();
  Linear(const Linear&) = delete;
  Linear& operator=(const Linear&) = delete;

  LinearStatus status() const;
  LinearStatus run(const LinearParams& params, cudaStream_t stream);
  // Through cuBLASLt however few the rows; for tests and for comparison.
  LinearStatus run_library(const LinearParams& params, cudaStream_t stream);

 private:
  class Library;
  std::unique_ptr<Library> library_;
};

}  // namespace ernie::kernels
