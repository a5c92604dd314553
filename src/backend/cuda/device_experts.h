#pragma once

#include "backend/cuda/staging_ring.h"
#include "ops/weight.h"
#include "tensor/slab_arena.h"

namespace ernie::cuda {

// The experts of one layer with the addresses of their weights in device memory.
class DeviceExperts final : public ExpertSet {
 public:
  DeviceExperts(ExpertWeights weights, SlabArena& memory, StagingRing& staging);

  const void* const* gate_up() const { return static_cast<const void* const*>(gate_up_.get()); }
  const void* const* down() const { return static_cast<const void* const*>(down_.get()); }
  // kernels::MoeWeightMap [experts (+ 1), 2]; null when they cannot be made.
  const void* maps() const { return maps_.get(); }

 private:
  std::shared_ptr<void> gate_up_;  // const void* [experts (+ 1)]
  std::shared_ptr<void> down_;
  std::shared_ptr<void> maps_;
};

// Of a set that this backend made; a CHECK failure for another one's.
const DeviceExperts& device_experts(const ExpertSet& experts);

}  // namespace ernie::cuda
