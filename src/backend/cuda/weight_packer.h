#pragma once

#include <memory>
#include <span>

#include "backend/cuda/device.h"
#include "backend/cuda/device_weight.h"
#include "backend/cuda/staging_ring.h"
#include "ops/generated_matrix.h"
#include "tensor/slab_arena.h"

namespace ernie::cuda {

// Brings weights to one device, quantising them there. Host memory is that of the staging ring,
// whatever the size of a matrix.
class WeightPacker {
 public:
  WeightPacker(cudaStream_t stream, StagingRing& staging) : stream_(stream), staging_(staging) {}

  std::unique_ptr<Weight> pack(std::span<const HostMatrix> parts, const ops::PackSpec& spec);
  std::unique_ptr<Weight> pack(std::span<const QuantizedHostMatrix> parts,
                               const ops::PackSpec& spec);
  std::unique_ptr<Weight> pack(std::span<const GeneratedMatrix> parts, const ops::PackSpec& spec);
  std::unique_ptr<ExpertSet> make_experts(ExpertWeights weights);

  // Gives back the memory that only packing needs.
  void finish() { rows_ = Buffer(); }

 private:
  // Device memory for whole rows on their way, and how many of `row_bytes` fit.
  void* rows(size_t row_bytes, int64_t& count);
  void quantize(const DeviceWeight& weight, const void* rows, DType type, int64_t stride,
                int64_t count, int64_t first_col, int64_t all_cols, int64_t first_row);

  cudaStream_t stream_;
  StagingRing& staging_;
  SlabArena memory_{allocate_device};
  Buffer rows_;
};

}  // namespace ernie::cuda
