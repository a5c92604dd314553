#include "backend/cuda/device_experts.h"

#include <utility>
#include <vector>

#include "backend/cuda/device_weight.h"
#include "base/check.h"
#include "base/result.h"
#include "kernels/moe/experts.h"

namespace ernie::cuda {

DeviceExperts::DeviceExperts(ExpertWeights weights, SlabArena& memory, StagingRing& staging)
    : ExpertSet(std::move(weights)) {
  const bool quantized = mlps()[0]->gate_up->format().is_quantized();
  std::vector<const void*> gate_up, down, gate_up_scales, down_scales;
  std::vector<kernels::MoeWeightMap> maps;
  bool mapped = !quantized;
  for (const GatedMlp* mlp : mlps()) {
    const DeviceWeight& g = device_weight(*mlp->gate_up);
    const DeviceWeight& d = device_weight(*mlp->down);
    if (g.format().is_quantized() != quantized || g.format() != d.format()) {
      throw StartError(
          "on GPUs a layer's experts, the shared ones too, are all quantised or none; got " +
          to_string(mlps()[0]->gate_up->format()) + " and " + to_string(g.format()) +
          "; give --quantization both dense_quant_type and moe_quant_type");
    }
    gate_up.push_back(g.data());
    down.push_back(d.data());
    gate_up_scales.push_back(g.scales());
    down_scales.push_back(d.scales());
    const int64_t width = d.in_features();
    maps.resize(maps.size() + 2);
    mapped = mapped && g.format().type == WeightType::kBF16 &&
             kernels::encode_moe_weight_map(g.data(), 2 * width, hidden(),
                                            &maps[maps.size() - 2]) == cudaSuccess &&
             kernels::encode_moe_weight_map(d.data(), hidden(), width, &maps[maps.size() - 1]) ==
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
  if (quantized) {
    gate_up_scales_ = to_device(gate_up_scales);
    down_scales_ = to_device(down_scales);
  }
  if (mapped) maps_ = to_device(maps);
}

kernels::WeightFormat DeviceExperts::format(size_t group) const {
  const auto& groups = weights().groups;
  return group < groups.size() ? kernel_format(groups[group][0].gate_up->format())
                               : kernels::WeightFormat{};
}

kernels::WeightFormat DeviceExperts::shared_format() const {
  const auto& shared = weights().shared;
  return shared ? kernel_format(shared->gate_up->format()) : kernels::WeightFormat{};
}

const DeviceExperts& device_experts(const ExpertSet& experts) {
  const auto* device = dynamic_cast<const DeviceExperts*>(&experts);
  CHECK(device != nullptr, "the experts were made by another backend");
  return *device;
}

}  // namespace ernie::cuda
