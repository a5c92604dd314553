#include "model/weight_loader.h"

#include <optional>
#include <string>

#include "base/result.h"
#include "ops/quantize.h"

namespace ernie::model {
namespace {

Shape shape_of(const TensorSpec& spec) {
  return spec.role == TensorRole::kRouter ? Shape{spec.rows, spec.cols} : Shape{spec.cols};
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
  reader_.trim();
  count(weight->bytes());
  return weight;
}

std::unique_ptr<Weight> PackingLoader::pack(std::span<const MatrixPart> parts,
                                            const ops::PackSpec& spec) {
  const std::vector<QuantizedHostMatrix> quantized = this->quantized(parts, spec.format);
  if (!quantized.empty()) return args_.packer.pack_quantized(quantized, spec);
  std::vector<GeneratedMatrix> generated;
  for (const MatrixPart& part : parts) {
    const auto values = args_.source.generated(part.tensor, part.slice);
    if (!values) break;
    generated.push_back(*values);
  }
  if (generated.size() == parts.size()) return args_.packer.pack_generated(generated, spec);
  return args_.packer.pack_stacked(reader_.rows(parts, spec.format), spec);
}

std::vector<QuantizedHostMatrix> PackingLoader::quantized(std::span<const MatrixPart> parts,
                                                          WeightFormat format) {
  const auto text = [](const std::optional<WeightFormat>& stored) {
    return stored ? to_string(*stored) : "not quantised";
  };
  const std::string& name = parts[0].tensor.name;
  const auto stored = args_.source.quantized_format(parts[0].tensor);
  for (const MatrixPart& part : parts.subspan(1)) {
    const auto other = args_.source.quantized_format(part.tensor);
    if (other == stored) continue;
    throw StartError("expected one format for \"" + name + "\" and \"" + part.tensor.name +
                     "\", which are multiplied as one matrix, found " + text(stored) + " and " +
                     text(other));
  }
  if (!stored && !(format.is_quantized() && args_.source.is_quantized())) return {};
  const auto effective = [&](WeightFormat in) {  // a group that takes all inputs is none
    if (scales_per_row(parts[0].slice.cols, in.group) == 1) in.group = 0;
    return in;
  };
  if (!stored || effective(*stored) != effective(format)) {
    throw StartError("expected \"" + name + "\" in " + to_string(format) +
                     ", as the configuration says, found it stored " + (stored ? "in " : "") +
                     text(stored));
  }
  std::vector<QuantizedHostMatrix> rows;
  for (const MatrixPart& part : parts) {
    rows.push_back(args_.source.quantized(part.tensor, part.slice));
  }
  return rows;
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
