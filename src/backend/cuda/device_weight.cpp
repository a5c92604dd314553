#include "backend/cuda/device_weight.h"

#include <cstring>

#include "base/check.h"
#include "tensor/bf16.h"

namespace ernie::cuda {
namespace {

size_t matrix_bytes(int64_t out_features, int64_t in_features, DType dtype) {
  return static_cast<size_t>(out_features) * static_cast<size_t>(in_features) * dtype_bytes(dtype);
}

void convert(const void* in, DType from, void* out, DType to, int64_t count) {
  if (from == to) {
    std::memcpy(out, in, static_cast<size_t>(count) * dtype_bytes(to));
  } else if (to == DType::kF32) {
    const auto* narrow = static_cast<const BF16*>(in);
    for (int64_t i = 0; i < count; ++i) static_cast<float*>(out)[i] = to_float(narrow[i]);
  } else {
    const auto* wide = static_cast<const float*>(in);
    for (int64_t i = 0; i < count; ++i) static_cast<BF16*>(out)[i] = to_bf16(wide[i]);
  }
}

}  // namespace

DeviceWeight::DeviceWeight(int64_t out_features, int64_t in_features, WeightFormat format,
                           SlabArena& memory)
    : Weight(out_features, in_features, format),
      storage_(memory.take(matrix_bytes(out_features, in_features, format.dtype()))) {
  bytes_ = bytes_for(out_features, in_features, dtype());
}

void DeviceWeight::upload(std::span<const HostMatrix> parts, StagingRing& staging) {
  const size_t row_bytes = matrix_bytes(1, in_features(), dtype());
  int64_t begin = 0;
  for (const HostMatrix& part : parts) {
    staging.upload(row(begin), static_cast<size_t>(part.out_features), row_bytes,
                   [&](void* pinned, size_t first, size_t rows) {
                     for (size_t r = 0; r < rows; ++r) {
                       convert(part.row(static_cast<int64_t>(first + r)), part.dtype,
                               static_cast<char*>(pinned) + r * row_bytes, dtype(), in_features());
                     }
                   });
    begin += part.out_features;
  }
}

void* DeviceWeight::row(int64_t index) const {
  return static_cast<char*>(storage_.get()) + matrix_bytes(index, in_features(), dtype());
}

size_t DeviceWeight::bytes_for(int64_t out_features, int64_t in_features, DType dtype) {
  return SlabArena::piece_bytes(matrix_bytes(out_features, in_features, dtype));
}

const DeviceWeight& device_weight(const Weight& weight) {
  const auto* device = dynamic_cast<const DeviceWeight*>(&weight);
  CHECK(device != nullptr, "the weight was packed by another backend");
  return *device;
}

}  // namespace ernie::cuda
