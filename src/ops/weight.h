#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/check.h"
#include "tensor/tensor.h"

namespace ernie {

// A matrix W [out_features, in_features] in host memory, as a checkpoint gives it; y = x * W^T.
struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::kBF16;  // kBF16 or kF32
  int64_t out_features = 0;
  int64_t in_features = 0;
  // The sum over in_features is taken in this many equal parts that are then added in order, as
  // that many tensor-parallel ranks would, so that results do not depend on the number of ranks.
  // A backend may take it in one.
  int sum_parts = 1;
  // Elements from one row to the next; 0 when the rows lie one behind the other.
  int64_t row_stride = 0;

  bool dense() const { return row_stride == 0 || row_stride == in_features || out_features <= 1; }
  const void* row(int64_t r) const {
    const int64_t stride = row_stride == 0 ? in_features : row_stride;
    return static_cast<const char*>(data) + static_cast<size_t>(r * stride) * dtype_bytes(dtype);
  }
};

// Rows of all parts of a stacked matrix; a CHECK failure when they do not fit together.
inline int64_t stacked_rows(std::span<const HostMatrix> parts) {
  CHECK(!parts.empty(), "a matrix of no parts");
  const HostMatrix& first = parts[0];
  CHECK(first.dtype == DType::kF32 || first.dtype == DType::kBF16,
        std::string("a matrix is float32 or bfloat16, not ") + dtype_name(first.dtype));
  int64_t rows = 0;
  for (const HostMatrix& part : parts) {
    CHECK(part.in_features == first.in_features && part.dtype == first.dtype &&
              part.sum_parts == first.sum_parts,
          "stacked matrices differ in width, type or sum_parts");
    rows += part.out_features;
  }
  return rows;
}

// A matrix prepared by the backend that will multiply with it (packed, sharded, later quantised).
class Weight {
 public:
  virtual ~Weight() = default;
  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }
  size_t bytes() const { return bytes_; }

 protected:
  Weight(int64_t out_features, int64_t in_features)
      : out_features_(out_features), in_features_(in_features) {}
  size_t bytes_ = 0;

 private:
  int64_t out_features_;
  int64_t in_features_;
};

}  // namespace ernie
