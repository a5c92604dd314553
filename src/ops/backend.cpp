#include "ops/backend.h"

namespace ernie::ops {

std::unique_ptr<Weight> Backend::pack_generated(std::span<const GeneratedMatrix> parts,
                                                DType activation, int sum_parts) {
  const int64_t rows = stacked_rows(parts);
  const int64_t cols = parts[0].cols;
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_bytes(activation);
  const auto host =
      std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(rows) * row_bytes);
  std::byte* out = host.get();
  for (const GeneratedMatrix& part : parts) {
    generate(part, activation, out);
    out += static_cast<size_t>(part.rows) * row_bytes;
  }
  return pack({host.get(), activation, rows, cols, sum_parts}, activation);
}

}  // namespace ernie::ops
