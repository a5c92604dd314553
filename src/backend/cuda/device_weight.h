#pragma once

#include <cstdint>
#include <memory>

#include "backend/cuda_sizing/kernel_types.h"
#include "kernels/quantized/quantized.h"
#include "ops/sizing.h"
#include "tensor/slab_arena.h"

namespace ernie::cuda {

// A matrix in device memory: row-major [out_features, in_features] as it came, in float32 or
// bfloat16, or quantised in the kernels' layout. A sum over in_features is taken in one part
// whatever PackSpec::sum_parts says.
class DeviceWeight : public Weight {
 public:
  // Not yet filled.
  DeviceWeight(int64_t out_features, int64_t in_features, const ops::PackSpec& spec,
               SlabArena& memory);
  DeviceWeight(const DeviceWeight&) = delete;
  DeviceWeight& operator=(const DeviceWeight&) = delete;

  // Row-major or quantised values.
  const void* data() const { return storage_.get(); }
  const void* scales() const { return scales_; }  // null unless quantised
  void* row(int64_t index) const;                 // not of quantised weights
  kernels::QuantizedMatrix quantized() const;     // of quantised weights

 private:
  kernels::RowOrder order_;
  std::shared_ptr<void> storage_;
  void* scales_ = nullptr;
};

// Of a weight that this backend packed; a CHECK failure for another one's.
const DeviceWeight& device_weight(const Weight& weight);

}  // namespace ernie::cuda
