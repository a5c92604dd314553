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
  const bool whole = spec.format.has_row_scales() && parts[0].all_cols > 0;
  const int64_t first_col = whole ? parts[0].first_col : 0;
  const int64_t cols = whole ? parts[0].all_cols : parts[0].cols;
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_bytes(dtype);
  const auto host =
      std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(rows) * row_bytes);
  std::byte* out = host.get();
  for (GeneratedMatrix part : parts) {
    part.first -= first_col;
    part.cols = cols;
    generate(part, dtype, out);
    out += static_cast<size_t>(part.rows) * row_bytes;
  }
  return pack({.data = host.get() + static_cast<size_t>(first_col) * dtype_bytes(dtype),
               .dtype = dtype,
               .out_features = rows,
               .in_features = parts[0].cols,
               .row_stride = cols,
               .first_col = first_col,
               .all_cols = cols},
              spec);
}

}  // namespace ernie::ops
