#include "backend/cuda/device_weight.h"

#include "base/check.h"

namespace ernie::cuda {
namespace {

size_t matrix_bytes(int64_t out_features, int64_t in_features, DType dtype) {
  return static_cast<size_t>(out_features) * static_cast<size_t>(in_features) * dtype_bytes(dtype);
}

kernels::RowOrder row_order(const ops::PackSpec& spec) {
  return spec.use == ops::MatrixUse::kExpertGateUp ? kernels::RowOrder::kGateUp
                                                   : kernels::RowOrder::kPlain;
}

// Of the values; scales lie behind them, at a multiple of the arena's alignment.
size_t value_bytes(int64_t out_features, int64_t in_features, const ops::PackSpec& spec) {
  return SlabArena::piece_bytes(kernels::quantized_value_bytes(
      out_features, in_features, kernel_format(spec.format), row_order(spec)));
}

}  // namespace

kernels::WeightFormat kernel_format(WeightFormat format) {
  if (!format.is_quantized()) return {};
  return {
      format.type == WeightType::kInt4 ? kernels::WeightType::kInt4 : kernels::WeightType::kInt8,
      format.group};
}

DeviceWeight::DeviceWeight(int64_t out_features, int64_t in_features, const ops::PackSpec& spec,
                           SlabArena& memory)
    : Weight(out_features, in_features, spec.format),
      order_(row_order(spec)),
      storage_(memory.take(bytes_for(out_features, in_features, spec))) {
  bytes_ = bytes_for(out_features, in_features, spec);
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

size_t DeviceWeight::bytes_for(int64_t out_features, int64_t in_features,
                               const ops::PackSpec& spec) {
  if (!spec.format.is_quantized()) {
    return SlabArena::piece_bytes(matrix_bytes(out_features, in_features, spec.format.dtype()));
  }
  return value_bytes(out_features, in_features, spec) +
         SlabArena::piece_bytes(kernels::quantized_scale_bytes(
             out_features, in_features, kernel_format(spec.format), row_order(spec)));
}

const DeviceWeight& device_weight(const Weight& weight) {
  const auto* device = dynamic_cast<const DeviceWeight*>(&weight);
  CHECK(device != nullptr, "the weight was packed by another backend");
  return *device;
}

}  // namespace ernie::cuda
