#include "model/part_reader.h"

#include "base/check.h"

namespace ernie::model {

int64_t total_rows(std::span<const MatrixPart> parts) {
  int64_t rows = 0;
  for (const MatrixPart& part : parts) rows += part.slice.rows;
  return rows;
}

std::vector<HostMatrix> PartReader::rows(std::span<const MatrixPart> parts, WeightFormat format) {
  std::vector<HostMatrix> host = map(parts);
  if (host.empty()) host = {read(parts, format)};
  return host;
}

void PartReader::trim() {
  constexpr size_t kKeptBytes = size_t{32} << 20;
  if (scratch_.size() > kKeptBytes) std::vector<std::byte>().swap(scratch_);
}

std::vector<HostMatrix> PartReader::map(std::span<const MatrixPart> parts) {
  std::vector<HostMatrix> host;
  for (const MatrixPart& part : parts) {
    host.push_back(source_.map(part.tensor, part.slice));
    if (host.back().data == nullptr || host.back().dtype != host[0].dtype) return {};
  }
  return host;
}

HostMatrix PartReader::read(std::span<const MatrixPart> parts, WeightFormat format) {
  const DType dtype = format.type == WeightType::kF32 ? DType::kF32 : DType::kBF16;
  const Slice& first = parts[0].slice;
  const int64_t first_col = format.has_row_scales() ? first.col : 0;
  const int64_t cols = format.has_row_scales() ? parts[0].tensor.cols : first.cols;
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_bytes(dtype);
  const int64_t rows = total_rows(parts);
  const size_t needed = static_cast<size_t>(rows) * row_bytes;
  if (scratch_.size() < needed) scratch_.resize(needed);
  std::byte* out = scratch_.data();
  for (const MatrixPart& part : parts) {
    CHECK(part.slice.cols == first.cols && part.slice.col == first.col,
          "stacked matrices differ in their columns: " + part.tensor.name);
    Slice slice = part.slice;
    if (format.has_row_scales()) {
      slice.col = 0;
      slice.cols = cols;
    }
    source_.read(part.tensor, slice, dtype, out);
    out += static_cast<size_t>(part.slice.rows) * row_bytes;
  }
  return {.data = scratch_.data() + static_cast<size_t>(first_col) * dtype_bytes(dtype),
          .dtype = dtype,
          .out_features = rows,
          .in_features = first.cols,
          .row_stride = cols,
          .first_col = first_col,
          .all_cols = cols};
}

}  // namespace ernie::model
