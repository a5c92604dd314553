#include "model/compressed_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/result.h"
#include "model/strided_read.h"
#include "ops/quantize.h"

namespace ernie::model {
namespace {

[[noreturn]] void fail(const StoredTensor& tensor, const std::string& problem) {
  throw StartError(tensor.file->path() + ": tensor \"" + tensor.name + "\": " + problem);
}

const StoredTensor& require(const FindTensor& find, const std::string& name,
                            const StoredTensor& beside) {
  const StoredTensor* tensor = find(name);
  if (tensor == nullptr) fail(beside, "expected \"" + name + "\" too, found none of that name");
  return *tensor;
}

void check_shape(const StoredTensor& tensor, int64_t rows, int64_t cols) {
  std::array<int64_t, 2> values{};
  if (tensor.type_name != "I64" || tensor.bytes != sizeof(values)) {
    fail(tensor, "expected two I64 numbers, found " + tensor.type_name + " " + tensor.shape_text());
  }
  std::memcpy(values.data(), tensor.data, sizeof(values));
  if (values != std::array{rows, cols}) {
    fail(tensor, "expected " + shape_text({rows, cols}) + ", which config.json asks for, found " +
                     shape_text({values[0], values[1]}));
  }
}

WeightType type_of(const StoredTensor& words, int64_t rows, int64_t cols) {
  if (words.type_name != "I32") fail(words, "expected type I32, found " + words.type_name);
  for (const WeightType type : {WeightType::kInt4, WeightType::kInt8}) {
    if (words.shape == std::vector<int64_t>{rows, words_per_row(cols, type)}) return type;
  }
  fail(words, "expected shape " + shape_text({rows, words_per_row(cols, WeightType::kInt4)}) +
                  " for int4 or " + shape_text({rows, words_per_row(cols, WeightType::kInt8)}) +
                  " for int8, found " + words.shape_text());
}

int group_of(const StoredTensor& scales, int64_t rows, int64_t cols) {
  if (scales.type == StoredType::kOther) {
    fail(scales, "expected type BF16, F16 or F32, found " + scales.type_name);
  }
  for (const int group : {0, 128, 64, 32}) {
    if (scales.shape == std::vector<int64_t>{rows, scales_per_row(cols, group)}) return group;
  }
  fail(scales, "expected " + std::to_string(rows) + " rows with a scale for each of " +
                   std::to_string(cols) + " inputs' groups of 32, 64 or 128, or with one, found " +
                   scales.shape_text());
}

void check_finite(const StoredTensor& scales, const QuantizedHostMatrix& m, int64_t per_row) {
  for (int64_t r = 0; r < m.out_features; ++r) {
    for (int64_t i = 0; i < per_row; ++i) {
      const float scale = to_float(m.scales[r * m.scale_stride + i]);
      if (std::isfinite(scale)) continue;
      fail(scales, "expected scales that are finite in bfloat16, found " + std::to_string(scale));
    }
  }
}

}  // namespace

std::optional<QuantizedTensor> find_quantized(const FindTensor& find, const std::string& weight,
                                              int64_t rows, int64_t cols) {
  const StoredTensor* words = find(packed_name(weight));
  if (words == nullptr) return std::nullopt;
  const StoredTensor& scales = require(find, scale_name(weight), *words);
  const StoredTensor& shape = require(find, shape_name(weight), *words);
  check_shape(shape, rows, cols);
  const WeightFormat format{type_of(*words, rows, cols), group_of(scales, rows, cols)};
  return QuantizedTensor{words, &scales, &shape, format, cols};
}

std::byte* QuantizedSlices::copy(size_t bytes) { return copies_.emplace_back(bytes).data(); }

QuantizedHostMatrix QuantizedSlices::take(const QuantizedTensor& tensor, const Slice& slice) {
  const int64_t in_word = inputs_per_word(tensor.format.type);
  for (const int64_t edge : {slice.col, slice.col + slice.cols}) {
    const bool whole = tensor.format.group == 0 || edge % tensor.format.group == 0;
    if (edge == tensor.cols || (edge % in_word == 0 && whole)) continue;
    fail(*tensor.words, "expected ranks to be cut at a multiple of " +
                            std::to_string(std::max<int64_t>(in_word, tensor.format.group)) +
                            " of its " + std::to_string(tensor.cols) + " inputs (" +
                            to_string(tensor.format) + "), found a cut at " + std::to_string(edge) +
                            "; use fewer ranks (--tensor-parallel-size)");
  }
  QuantizedHostMatrix out{.out_features = slice.rows, .in_features = slice.cols};

  const int64_t words = words_per_row(tensor.cols, tensor.format.type);
  const std::byte* first_word =
      tensor.words->data + (slice.row * words + slice.col / in_word) * int64_t{sizeof(uint32_t)};
  out.word_stride = words;
  if (reinterpret_cast<uintptr_t>(first_word) % alignof(uint32_t) == 0) {
    out.words = reinterpret_cast<const uint32_t*>(first_word);
  } else {
    out.word_stride = words_per_row(slice.cols, tensor.format.type);
    const size_t row_bytes = static_cast<size_t>(out.word_stride) * sizeof(uint32_t);
    std::byte* to = copy(static_cast<size_t>(slice.rows) * row_bytes);
    out.words = reinterpret_cast<const uint32_t*>(to);
    for (int64_t r = 0; r < slice.rows; ++r, to += row_bytes) {
      std::memcpy(to, first_word + r * words * int64_t{sizeof(uint32_t)}, row_bytes);
    }
  }

  const int group = tensor.format.group;
  const int64_t scales = scales_per_row(tensor.cols, group);
  StridedMatrix all{
      tensor.scales->data, tensor.scales->type, tensor.scales->shape[0], scales, scales, 1};
  const Slice wanted{slice.row, slice.rows, group == 0 ? 0 : slice.col / group,
                     scales_per_row(slice.cols, group)};
  const StridedMatrix m = slice_of(all, wanted);
  out.scale_stride = scales;
  if (m.type == StoredType::kBF16 && reinterpret_cast<uintptr_t>(m.data) % alignof(BF16) == 0) {
    out.scales = reinterpret_cast<const BF16*>(m.data);
  } else {
    out.scale_stride = m.cols;
    std::byte* to = copy(static_cast<size_t>(m.rows * m.cols) * sizeof(BF16));
    out.scales = reinterpret_cast<const BF16*>(to);
    read_strided(m, DType::kBF16, to);
  }
  check_finite(*tensor.scales, out, m.cols);
  return out;
}

}  // namespace ernie::model
