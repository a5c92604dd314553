#pragma once

#include <cstdint>
#include <memory>

#include "backend/cuda/staging_ring.h"
#include "ops/weight.h"

namespace ernie::cuda {

// A matrix in device memory as it came, row-major [out_features, in_features], in its activation
// type. A sum over in_features is taken in one part whatever HostMatrix::sum_parts says.
class DeviceWeight : public Weight {
 public:
  // Converts to `activation` on the way when the checkpoint has another type. `freed` counts the
  // weights of one backend that are gone.
  DeviceWeight(const HostMatrix& matrix, DType activation, StagingRing& staging,
               std::shared_ptr<uint64_t> freed);
  ~DeviceWeight() override { ++*freed_; }
  DeviceWeight(const DeviceWeight&) = delete;
  DeviceWeight& operator=(const DeviceWeight&) = delete;

  DType dtype() const { return dtype_; }
  const void* data() const { return storage_.data(); }

  static size_t bytes_for(int64_t out_features, int64_t in_features, DType activation);

 private:
  DType dtype_;
  std::shared_ptr<uint64_t> freed_;
  Buffer storage_;
};

// Of a weight that this backend packed; a CHECK failure for another one's.
const DeviceWeight& device_weight(const Weight& weight);

}  // namespace ernie::cuda
