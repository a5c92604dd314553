#include "backend/cuda/device_experts.h"

#include <utility>
#include <vector>

#include "backend/cuda/device_weight.h"
#include "base/check.h"
#include "kernels/moe/experts.h"

namespace ernie::cuda {

DeviceExperts::DeviceExperts(ExpertWeights weights, SlabArena& memory, StagingRing& staging)
    : ExpertSet(std::move(weights)) {
  std::vector<const void*> gate_up, down;
  std::vector<kernels::MoeWeightMap> maps;
  bool mapped = true;
  for (const GatedMlp* mlp : mlps()) {
    gate_up.push_back(device_weight(*mlp->gate_up).data());
    down.push_back(device_weight(*mlp->down).data());
    const bool bf16 = mlp->gate_up->format().type == WeightType::kBF16;
    const int64_t width = mlp->down->in_features();
    maps.resize(maps.size() + 2);
    mapped = mapped && bf16 &&
             kernels::encode_moe_weight_map(gate_up.back(), 2 * width, hidden(),
                                            &maps[maps.size() - 2]) == cudaSuccess &&
             kernels::encode_moe_weight_map(down.back(), hidden(), width, &maps[maps.size() - 1]) ==
                 cudaSuccess;
  }
  const auto to_device = [&](const auto& values) {
    const size_t bytes = values.size() * sizeof(values[0]);
    std::shared_ptr<void> copy = memory.take(bytes);
    staging.upload(copy.get(), values.data(), bytes);
    return copy;
  };
  gate_up_ = to_device(gate_up);
  down_ = to_device(down);
  if (mapped) maps_ = to_device(maps);
}

const DeviceExperts& device_experts(const ExpertSet& experts) {
  const auto* device = dynamic_cast<const DeviceExperts*>(&experts);
  CHECK(device != nullptr, "the experts were made by another backend");
  return *device;
}

}  // namespace ernie::cuda
