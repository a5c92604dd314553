#pragma once

#include <vector>

#include "ops/backend.h"

namespace ernie::model {

// Device memory for things that live as long as the model. Without a backend it only counts, and
// its views have no data: that is how memory is planned.
class DeviceArena {
 public:
  explicit DeviceArena(ops::Backend* backend) : backend_(backend) {}

  TensorView take(DType dtype, Shape shape) {
    const TensorView view{nullptr, dtype, shape};
    bytes_ += view.bytes();
    if (backend_ == nullptr || view.bytes() == 0) return view;
    return buffers_.emplace_back(backend_->allocate(view.bytes())).view(dtype, shape);
  }

  size_t bytes() const { return bytes_; }

 private:
  ops::Backend* backend_;
  std::vector<Buffer> buffers_;
  size_t bytes_ = 0;
};

}  // namespace ernie::model
