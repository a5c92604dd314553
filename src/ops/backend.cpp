#include "ops/backend.h"

namespace ernie::ops {

std::unique_ptr<Graph> Device::capture(const std::function<void()>&) {
  CHECK(false, name() + " has no graphs");
  return nullptr;
}

std::unique_ptr<Weight> Packer::pack_generated(std::span<const GeneratedMatrix> parts,
                                               const PackSpec& spec) {
  const DType dtype = spec.format.type == WeightType::kF32 ? DType::kF32 : DType::kBF16;
  const int64_t rows = stacked_rows(parts);
  const int64_t cols = parts[0].cols;
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_bytes(dtype);
  const auto host =
      std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(rows) * row_bytes);
  std::byte* out = host.get();
  for (const GeneratedMatrix& part : parts) {
    generate(part, dtype, out);
    out += static_cast<size_t>(part.rows) * row_bytes;
  }
  return pack({host.get(), dtype, rows, cols}, spec);
}

}  // namespace ernie::ops
