#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/check.h"
#include "base/result.h"
#include "model/checkpoint.h"
#include "model/checkpoint_layout.h"
#include "model/compressed_tensors.h"
#include "model/read_ahead.h"
#include "model/strided_read.h"
#include "model/weight_source.h"

namespace ernie::model {
namespace {

class CheckpointSource : public WeightSource {
 public:
  CheckpointSource(const ModelConfig& config, const std::string& folder)
      : config_(config),
        checkpoint_(folder),
        layout_(probe_layout(checkpoint_)),
        transposed_(probe_transposed(checkpoint_, layout_, config_)) {
    for (const StoredTensor* tensor : checkpoint_.tensors()) refuse_unreadable(*tensor);
  }

  std::string describe() const override {
    const StoredTensor* head = checkpoint_.find("lm_head.weight");
    return checkpoint_.folder() + ": " + layout_name(layout_) + " layout, " +
           std::to_string(checkpoint_.tensors().size()) + " tensors, matrices " +
           (transposed_ ? "[in, out]" : "[out, in]") + ", " +
           (head != nullptr ? "head of its own " + head->shape_text()
                            : "head tied to the embedding");
  }

  bool has(const TensorSpec& spec) const override {
    const std::vector<StoredPlace> places = places_of(spec, layout_, config_);
    return std::any_of(places.begin(), places.end(), [&](const StoredPlace& place) {
      return checkpoint_.find(place.name) != nullptr ||
             checkpoint_.find(packed_name(place.name)) != nullptr;
    });
  }

  DType stored_dtype(const TensorSpec& spec) override {
    return locate(spec).matrix.type == StoredType::kBF16 ? DType::kBF16 : DType::kF32;
  }

  bool is_quantized() const override { return config_.quantization.any(); }

  std::optional<WeightFormat> quantized_format(const TensorSpec& spec) override {
    const auto at = locate_quantized(spec);
    return at ? std::optional(at->tensor.format) : std::nullopt;
  }

  QuantizedHostMatrix quantized(const TensorSpec& spec, const Slice& slice) override {
    const auto at = locate_quantized(spec);
    CHECK(at.has_value(), "the matrix is not quantised: " + spec.name);
    for (const StoredTensor* tensor : {at->tensor.words, at->tensor.scales}) {
      read_ahead_.reading(*tensor->file, tensor->data, tensor->bytes);
    }
    Slice rows = slice;
    rows.row += at->row;
    return quantized_slices_.take(at->tensor, rows);
  }

  HostMatrix map(const TensorSpec& spec, const Slice& slice) override {
    const Located at = locate(spec);
    if (at.block_rows > 0) return {};
    const StridedMatrix m = slice_of(at.matrix, slice);
    const bool aligned = reinterpret_cast<uintptr_t>(m.data) % stored_type_bytes(m.type) == 0;
    if (m.col_stride != 1 || !aligned || m.type == StoredType::kF16) return {};
    read_ahead_.reading(*at.tensor->file, m.data, span_bytes(m));
    const DType dtype = m.type == StoredType::kF32 ? DType::kF32 : DType::kBF16;
    return {m.data, dtype, m.rows, m.cols, m.row_stride, slice.col, spec.cols};
  }

  void read(const TensorSpec& spec, const Slice& slice, DType dtype, void* out) override {
    const Located at = locate(spec);
    auto* to = static_cast<std::byte*>(out);
    for (const Slice& part : at.parts(slice)) {
      const StridedMatrix m = slice_of(at.matrix, part);
      read_ahead_.reading(*at.tensor->file, m.data, span_bytes(m));
      read_strided(m, dtype, to);
      to += m.rows * m.cols * static_cast<int64_t>(dtype_bytes(dtype));
    }
  }

  void release(const TensorSpec& spec) override {
    if (const auto at = locate_quantized(spec)) {
      quantized_slices_.clear();
      for (const StoredTensor* tensor : {at->tensor.words, at->tensor.scales}) {
        tensor->file->drop(tensor->data, tensor->bytes);
      }
      return;
    }
    const Located at = locate(spec);
    at.tensor->file->drop(at.matrix.data, span_bytes(at.matrix));
  }

  void finish() override {
    std::vector<std::string> surplus;
    for (const StoredTensor* tensor : checkpoint_.tensors()) {
      if (!used_.contains(tensor) && !is_ignorable(tensor->name)) {
        surplus.push_back("\"" + tensor->name + "\" " + tensor->shape_text() + " in " +
                          tensor->file->path());
      }
    }
    if (surplus.empty()) return;
    std::sort(surplus.begin(), surplus.end());
    constexpr size_t kShown = 5;
    std::string list;
    for (size_t i = 0; i < std::min(surplus.size(), kShown); ++i) {
      list += (i ? ", " : "") + surplus[i];
    }
    if (surplus.size() > kShown) list += ", ...";
    throw StartError(checkpoint_.folder() + ": expected only tensors that config.json describes, " +
                     "found " + std::to_string(surplus.size()) + " more: " + list + hint(list));
  }

 private:
  // Advice for the known ways in which config.json and tensors disagree.
  static std::string hint(const std::string& names) {
    if (names.find("shared_experts") != std::string::npos) {
      return "; set moe_num_shared_experts in config.json to the rows of shared_experts.gate_proj "
             "divided by moe_intermediate_size";
    }
    if (names.find("quant_weight") != std::string::npos) {
      return "; quantised checkpoints of Paddle are not supported, take the bfloat16 one and "
             "--quantization wint4";
    }
    return "";
  }

  static void refuse_unreadable(const StoredTensor& tensor) {
    const char* what = tensor.name.ends_with(".weight_g_idx")        ? "ordered by activations"
                       : tensor.name.ends_with(".weight_zero_point") ? "with zero points"
                       : tensor.name.ends_with(".qweight")           ? "of GPTQ or AWQ"
                                                                     : nullptr;
    if (what == nullptr) return;
    fail(tensor, std::string("quantised weights ") + what +
                     " are not supported; convert the checkpoint to compressed-tensors' symmetric "
                     "pack-quantized form with llm-compressor, or load the bfloat16 checkpoint "
                     "with --quantization wint4");
  }

  struct Located {
    const StoredTensor* tensor;
    StridedMatrix matrix;  // from the spec's first row on; of blocks, with the rows between them
    int64_t block_rows;
    int64_t block_stride;

    // The parts of a slice that lie together, in its order.
    std::vector<Slice> parts(const Slice& slice) const {
      if (block_rows == 0) return {slice};
      std::vector<Slice> parts;
      for (int64_t row = slice.row; row < slice.row + slice.rows;) {
        const int64_t rows = std::min(block_rows - row % block_rows, slice.row + slice.rows - row);
        Slice part = slice;
        part.row = row / block_rows * block_stride + row % block_rows;
        part.rows = rows;
        parts.push_back(part);
        row += rows;
      }
      return parts;
    }
  };

  struct LocatedQuantized {
    QuantizedTensor tensor;
    int64_t row;  // where the rows of the spec begin in it
  };

  std::optional<LocatedQuantized> locate_quantized(const TensorSpec& spec) {
    for (const StoredPlace& place : places_of(spec, layout_, config_)) {
      if (place.stack_index >= 0 || place.block_rows > 0) continue;
      const auto tensor =
          find_quantized([&](const std::string& name) { return checkpoint_.find(name); },
                         place.name, place.total_rows, spec.cols);
      if (!tensor) continue;
      used_.insert({tensor->words, tensor->scales, tensor->shape});
      return LocatedQuantized{*tensor, place.row};
    }
    return std::nullopt;
  }

  // Bytes from a matrix's first element to the end of its last.
  static size_t span_bytes(const StridedMatrix& m) {
    const int64_t last = (m.rows - 1) * m.row_stride + (m.cols - 1) * m.col_stride;
    return static_cast<size_t>(last + 1) * stored_type_bytes(m.type);
  }

  // Finds the tensor, checks its type and shape, and describes it as [rows, cols] of the spec.
  Located locate(const TensorSpec& spec) {
    const std::vector<StoredPlace> places = places_of(spec, layout_, config_);
    for (const StoredPlace& place : places) {
      if (const StoredTensor* tensor = checkpoint_.find(place.name)) {
        used_.insert(tensor);
        if (tensor->type == StoredType::kOther) {
          fail(*tensor,
               "expected type BF16, F16, F32 or U16 (bfloat16 bits), found " + tensor->type_name);
        }
        return {tensor,
                spec.role == TensorRole::kVector || spec.role == TensorRole::kExpertBias
                    ? view_vector(spec, place, *tensor)
                    : view_matrix(spec, place, *tensor),
                place.block_rows, place.block_stride};
      }
    }
    const StoredPlace& usual = places.front();
    if (const auto quantized = locate_quantized(spec)) {
      fail(*quantized->tensor.words, "expected a tensor that is not quantised, \"" + usual.name +
                                         "\", found " + to_string(quantized->tensor.format));
    }
    const std::string quantised = usual.name.substr(0, usual.name.rfind('.')) + ".quant_weight";
    throw StartError(checkpoint_.folder() + ": expected tensor \"" + usual.name + "\" (" +
                     std::to_string(usual.total_rows) + " x " + std::to_string(spec.cols) +
                     ", by config.json), found none of that name in " +
                     std::to_string(checkpoint_.tensors().size()) + " tensors" +
                     (checkpoint_.find(quantised) != nullptr ? hint(quantised) : ""));
  }

  [[noreturn]] static void fail(const StoredTensor& tensor, const std::string& problem) {
    throw StartError(tensor.file->path() + ": tensor \"" + tensor.name + "\": " + problem);
  }

  [[noreturn]] static void fail_shape(const StoredTensor& tensor, const std::string& expected) {
    fail(tensor, "expected shape " + expected + ", which config.json asks for, found " +
                     tensor.shape_text());
  }

  static StridedMatrix view_vector(const TensorSpec& spec, const StoredPlace& place,
                                   const StoredTensor& tensor) {
    const std::vector<int64_t>& shape = tensor.shape;
    const bool flat = shape == std::vector<int64_t>{spec.cols} && place.row == 0;
    const bool rows = spec.role == TensorRole::kExpertBias && shape.size() == 2 &&
                      shape[1] == spec.cols && shape[0] > place.row && shape[0] <= 2;
    if (!flat && !rows) {
      std::string expected = "[" + std::to_string(spec.cols) + "]";
      if (spec.role == TensorRole::kExpertBias) {
        expected = shape_text({place.total_rows, spec.cols});
      }
      fail_shape(tensor, expected);
    }
    return {tensor.data + place.row * spec.cols * stored_type_bytes(tensor.type),
            tensor.type,
            1,
            spec.cols,
            spec.cols,
            1};
  }

  StridedMatrix view_matrix(const TensorSpec& spec, const StoredPlace& place,
                            const StoredTensor& tensor) {
    std::vector<int64_t> straight{place.total_rows, spec.cols};
    std::vector<int64_t> turned{spec.cols, place.total_rows};
    const std::byte* data = tensor.data;
    if (place.stack_index >= 0) {
      straight.insert(straight.begin(), place.stack_size);
      turned.insert(turned.begin(), place.stack_size);
      data += place.stack_index * place.total_rows * spec.cols * stored_type_bytes(tensor.type);
    }
    const bool turned_first = prefers_turned(spec.role);
    // Routers and heads come in both orientations, and some of Paddle's tools turn only some of the
    // matrices: where the shape decides, it does.
    const bool either = spec.role == TensorRole::kRouter || spec.name == "lm_head.weight" ||
                        (layout_ != Layout::kHf && spec.role == TensorRole::kLinear);
    bool turn = turned_first;
    if (tensor.shape != (turn ? turned : straight) && either) turn = !turn;
    if (tensor.shape != (turn ? turned : straight)) {
      fail_shape(tensor, shape_text(turned_first ? turned : straight));
    }
    const int64_t row_stride = turn ? 1 : spec.cols;
    const int64_t col_stride = turn ? place.total_rows : 1;
    return {data + place.row * row_stride * stored_type_bytes(tensor.type),
            tensor.type,
            place.block_rows > 0 ? place.total_rows - place.row : spec.rows,
            spec.cols,
            row_stride,
            col_stride};
  }

  bool prefers_turned(TensorRole role) const {
    if (role == TensorRole::kTable) return false;
    if (role == TensorRole::kRouter) {
      return layout_ == Layout::kPaddle || (layout_ == Layout::kPt && config_.vision);
    }
    return transposed_;
  }

  const ModelConfig config_;
  const Checkpoint checkpoint_;
  const Layout layout_;
  const bool transposed_;
  std::unordered_set<const StoredTensor*> used_;
  ReadAhead read_ahead_;
  QuantizedSlices quantized_slices_;
};

}  // namespace

std::unique_ptr<WeightSource> open_checkpoint_source(const ModelConfig& config,
                                                     const std::string& folder) {
  return std::make_unique<CheckpointSource>(config, folder);
}

}  // namespace ernie::model
