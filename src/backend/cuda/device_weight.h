#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "backend/cuda/staging_ring.h"
#include "ops/weight.h"
#include "tensor/slab_arena.h"

namespace ernie::cuda {

// A matrix in device memory as it came, row-major [out_features, in_features], in float32 or
// bfloat16. A sum over in_features is taken in one part whatever PackSpec::sum_parts says.
class DeviceWeight : public Weight {
 public:
  // Not yet filled.
  DeviceWeight(int64_t out_features, int64_t in_features, WeightFormat format, SlabArena& memory);
  DeviceWeight(const DeviceWeight&) = delete;
  DeviceWeight& operator=(const DeviceWeight&) = delete;

  // Fills it with the parts' rows, converted to dtype() on the way.
  void upload(std::span<const HostMatrix> parts, StagingRing& staging);

  DType dtype() const { return format().dtype(); }
  const void* data() const { return storage_.get(); }
  void* row(int64_t index) const;

  static size_t bytes_for(int64_t out_features, int64_t in_features, DType dtype);

 private:
  std::shared_ptr<void> storage_;
};

// Of a weight that this backend packed; a CHECK failure for another one's.
const DeviceWeight& device_weight(const Weight& weight);

}  // namespace ernie::cuda
