#include "backend/cuda/device_weight.h"

#include <string>
#include <utility>

#include "backend/cuda/device.h"
#include "base/check.h"
#include "tensor/bf16.h"

namespace ernie::cuda {
namespace {

size_t matrix_bytes(int64_t out_features, int64_t in_features, DType dtype) {
  return static_cast<size_t>(out_features) * static_cast<size_t>(in_features) * dtype_bytes(dtype);
}

void widen(const BF16* in, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = to_float(in[i]);
}

void narrow(const float* in, BF16* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = to_bf16(in[i]);
}

}  // namespace

DeviceWeight::DeviceWeight(const HostMatrix& matrix, DType activation, StagingRing& staging,
                           std::shared_ptr<uint64_t> freed)
    : Weight(matrix.out_features, matrix.in_features),
      dtype_(activation),
      freed_(std::move(freed)),
      storage_(allocate_device(matrix_bytes(matrix.out_features, matrix.in_features, activation))) {
  bytes_ = bytes_for(matrix.out_features, matrix.in_features, activation);
  const size_t count =
      static_cast<size_t>(matrix.out_features) * static_cast<size_t>(matrix.in_features);
  if (matrix.dtype == activation) {
    staging.upload(storage_.data(), matrix.data, storage_.bytes());
    return;
  }
  staging.upload(
      storage_.data(), count, dtype_bytes(activation), [&](void* pinned, size_t first, size_t now) {
        if (activation == DType::kF32) {
          widen(static_cast<const BF16*>(matrix.data) + first, static_cast<float*>(pinned), now);
        } else {
          narrow(static_cast<const float*>(matrix.data) + first, static_cast<BF16*>(pinned), now);
        }
      });
}

size_t DeviceWeight::bytes_for(int64_t out_features, int64_t in_features, DType activation) {
  return granted_bytes(matrix_bytes(out_features, in_features, activation));
}

const DeviceWeight& device_weight(const Weight& weight) {
  const auto* device = dynamic_cast<const DeviceWeight*>(&weight);
  CHECK(device != nullptr, "the weight was packed by another backend");
  return *device;
}

}  // namespace ernie::cuda
