#include "model/weight_loader.h"

namespace ernie::model {
namespace {

// Scratch memory above this is given back after each matrix.
constexpr size_t kKeptScratchBytes = size_t{32} << 20;

Shape shape_of(const TensorSpec& spec) {
  return spec.role == TensorRole::kRouter ? Shape{spec.rows, spec.cols} : Shape{spec.cols};
}

int64_t total_rows(std::span<const MatrixPart> parts) {
  int64_t rows = 0;
  for (const MatrixPart& part : parts) rows += part.slice.rows;
  return rows;
}

}  // namespace

void PackingLoader::count(size_t bytes) {
  bytes_ += bytes;
  if (args_.loaded) args_.loaded(bytes);
}

std::unique_ptr<Weight> PackingLoader::matrix(std::span<const MatrixPart> parts,
                                              WeightFormat format, ops::MatrixUse use) {
  std::unique_ptr<Weight> weight = pack(parts, {format, use, parts[0].slice.sum_parts});
  for (const MatrixPart& part : parts) args_.source.release(part.tensor);
  if (scratch_.size() > kKeptScratchBytes) std::vector<std::byte>().swap(scratch_);
  count(weight->bytes());
  return weight;
}

std::unique_ptr<Weight> PackingLoader::pack(std::span<const MatrixPart> parts,
                                            const ops::PackSpec& spec) {
  std::vector<GeneratedMatrix> generated;
  for (const MatrixPart& part : parts) {
    const auto values = args_.source.generated(part.tensor, part.slice);
    if (!values) break;
    generated.push_back(*values);
  }
  if (generated.size() == parts.size()) return args_.packer.pack_generated(generated, spec);
  std::vector<HostMatrix> host = map(parts);
  if (host.empty()) host = {read(parts, spec.format)};
  return args_.packer.pack_stacked(host, spec);
}

std::vector<HostMatrix> PackingLoader::map(std::span<const MatrixPart> parts) {
  std::vector<HostMatrix> host;
  for (const MatrixPart& part : parts) {
    host.push_back(args_.source.map(part.tensor, part.slice));
    if (host.back().data == nullptr || host.back().dtype != host[0].dtype) return {};
  }
  return host;
}

HostMatrix PackingLoader::read(std::span<const MatrixPart> parts, WeightFormat format) {
  const DType dtype = format.type == WeightType::kF32 ? DType::kF32 : DType::kBF16;
  const Slice& first = parts[0].slice;
  const int64_t first_col = format.is_quantized() ? first.col : 0;
  const int64_t cols = format.is_quantized() ? parts[0].tensor.cols : first.cols;
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_bytes(dtype);
  const int64_t rows = total_rows(parts);
  const size_t needed = static_cast<size_t>(rows) * row_bytes;
  if (scratch_.size() < needed) scratch_.resize(needed);
  std::byte* out = scratch_.data();
  for (const MatrixPart& part : parts) {
    CHECK(part.slice.cols == first.cols && part.slice.col == first.col,
          "stacked matrices differ in their columns: " + part.tensor.name);
    Slice slice = part.slice;
    if (format.is_quantized()) {
      slice.col = 0;
      slice.cols = cols;
    }
    args_.source.read(part.tensor, slice, dtype, out);
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

TensorView PackingLoader::tensor(const TensorSpec& spec, DType dtype) {
  const TensorView view = args_.arena.take(dtype, shape_of(spec));
  std::vector<std::byte> host(view.bytes());
  args_.source.read(spec, whole(spec), dtype, host.data());
  args_.source.release(spec);
  args_.device.copy_to_device(view.data, host.data(), host.size());
  count(view.bytes());
  return view;
}

std::unique_ptr<Weight> PlanningLoader::matrix(std::span<const MatrixPart> parts,
                                               WeightFormat format, ops::MatrixUse use) {
  const int64_t rows = total_rows(parts);
  const int64_t cols = parts[0].slice.cols;
  elements_ += rows * cols;
  if (sizing_ != nullptr) bytes_ += sizing_->packed_bytes(rows, cols, {format, use});
  return nullptr;
}

TensorView PlanningLoader::tensor(const TensorSpec& spec, DType dtype) {
  const TensorView view{nullptr, dtype, shape_of(spec)};
  elements_ += spec.rows * spec.cols;
  bytes_ += view.bytes();
  return view;
}

}  // namespace ernie::model
