#pragma once

#include <vector>

#include "ops/device.h"

namespace ernie::model {

// Device memory for things that live as long as the model. Without a device it only counts, and
// its views have no data: that is how memory is planned.
class DeviceArena {
 public:
  explicit DeviceArena(ops::Device* device) : device_(device) {}

  TensorView take(DType dtype, Shape shape) {
    const TensorView view{nullptr, dtype, shape};
    bytes_ += view.bytes();
    if (device_ == nullptr || view.bytes() == 0) return view;
    return buffers_.emplace_back(device_->allocate(view.bytes())).view(dtype, shape);
  }

  size_t bytes() const { return bytes_; }

 private:
  ops::Device* device_;
  std::vector<Buffer> buffers_;
  size_t bytes_ = 0;
};

}  // namespace ernie::model
