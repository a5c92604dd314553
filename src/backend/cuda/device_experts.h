#pragma once

#include "backend/cuda/staging_ring.h"
#include "kernels/common/weight_format.h"
#include "ops/weight.h"
#include "tensor/slab_arena.h"

namespace ernie::cuda {

// The experts of one layer with the addresses of their weights in device memory.
class DeviceExperts final : public ExpertSet {
 public:
  // Throws StartError for mixes of formats that the kernels do not have.
  DeviceExperts(ExpertWeights weights, SlabArena& memory, StagingRing& staging);

  const void* const* gate_up() const { return static_cast<const void* const*>(gate_up_.get()); }
  const void* const* down() const { return static_cast<const void* const*>(down_.get()); }
  // Null unless quantised.
  const void* const* gate_up_scales() const {
    return static_cast<const void* const*>(gate_up_scales_.get());
  }
  const void* const* down_scales() const {
    return static_cast<const void* const*>(down_scales_.get());
  }
  kernels::WeightFormat format(size_t group) const;  // kNative of a group that does not exist
  kernels::WeightFormat shared_format() const;
  // kernels::MoeWeightMap [experts (+ 1), 2]; null when they cannot be made.
  const void* maps() const { return maps_.get(); }

 private:
  std::shared_ptr<void> gate_up_;  // const void* [experts (+ 1)]
  std::shared_ptr<void> down_;
  std::shared_ptr<void> gate_up_scales_;
  std::shared_ptr<void> down_scales_;
  std::shared_ptr<void> maps_;
};

// Of a set that this backend made; a CHECK failure for another one's.
const DeviceExperts& device_experts(const ExpertSet& experts);

}  // namespace ernie::cuda
