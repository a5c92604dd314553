#include "backend/cuda/device_weight.h"

#include "backend/cuda_sizing/weight_sizes.h"
#include "base/check.h"

namespace ernie::cuda {

DeviceWeight::DeviceWeight(int64_t out_features, int64_t in_features, const ops::PackSpec& spec,
                           SlabArena& memory)
    : Weight(out_features, in_features, spec.format),
      order_(row_order(spec)),
      storage_(memory.take(packed_bytes(out_features, in_features, spec))) {
  bytes_ = packed_bytes(out_features, in_features, spec);
  if (spec.format.is_quantized()) {
    scales_ = static_cast<char*>(storage_.get()) + value_bytes(out_features, in_features, spec);
  }
}

void* DeviceWeight::row(int64_t index) const {
  return static_cast<char*>(storage_.get()) + matrix_bytes(index, in_features(), format().dtype());
}

kernels::QuantizedMatrix DeviceWeight::quantized() const {
  return {.format = kernel_format(format()),
          .order = order_,
          .rows = out_features(),
          .cols = in_features(),
          .values = storage_.get(),
          .scales = scales_};
}

const DeviceWeight& device_weight(const Weight& weight) {
  const auto* device = dynamic_cast<const DeviceWeight*>(&weight);
  CHECK(device != nullptr, "the weight was packed by another backend");
  return *device;
}

}  // namespace ernie::cuda
