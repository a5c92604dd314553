#pragma once

#include <cstdint>

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
};

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
