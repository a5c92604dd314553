#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tensor/bf16.h"
#include "tensor/tensor.h"
#include "tensor/weight_format.h"

namespace ernie {

// A matrix W [out_features, in_features] in host memory, as a checkpoint gives it; y = x * W^T.
struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::kBF16;  // kBF16 or kF32
  int64_t out_features = 0;
  int64_t in_features = 0;
  // Elements from one row to the next; 0 when the rows lie one behind the other.
  int64_t row_stride = 0;
  // Of a slice of columns: where it begins in the rows of the whole matrix, which are all_cols wide
  // and in memory too. Scales are taken over whole rows, so that a shard has the values of the
  // whole. all_cols 0: this is the whole.
  int64_t first_col = 0;
  int64_t all_cols = 0;

  bool dense() const { return row_stride == 0 || row_stride == in_features || out_features <= 1; }
  const void* row(int64_t r) const {
    const int64_t stride = row_stride == 0 ? in_features : row_stride;
    return static_cast<const char*>(data) + static_cast<size_t>(r * stride) * dtype_bytes(dtype);
  }
};

// Rows of all parts of a stacked matrix; a CHECK failure when they do not fit together.
inline int64_t stacked_rows(std::span<const HostMatrix> parts) {
  CHECK(!parts.empty(), "a matrix of no parts");
  const HostMatrix& first = parts[0];
  CHECK(first.dtype == DType::kF32 || first.dtype == DType::kBF16,
        std::string("a matrix is float32 or bfloat16, not ") + dtype_name(first.dtype));
  int64_t rows = 0;
  for (const HostMatrix& part : parts) {
    CHECK(part.in_features == first.in_features && part.dtype == first.dtype &&
              part.first_col == first.first_col && part.all_cols == first.all_cols,
          "stacked matrices differ in type or columns");
    rows += part.out_features;
  }
  return rows;
}

// Rows that are quantised already, in the words of compressed-tensors' pack-quantized form.
struct QuantizedHostMatrix {
  // A row of 32-bit words: 4 bytes of q + 128 or 8 nibbles of q + 8, the lowest input in the lowest
  // bits.
  const uint32_t* words = nullptr;
  int64_t word_stride = 0;       // words from one row to the next
  const BF16* scales = nullptr;  // one for each group of a row
  int64_t scale_stride = 0;      // scales from one row to the next
  int64_t out_features = 0;
  int64_t in_features = 0;
};

// Rows of all parts of a stacked matrix; a CHECK failure when their widths differ.
inline int64_t stacked_rows(std::span<const QuantizedHostMatrix> parts) {
  CHECK(!parts.empty(), "a matrix of no parts");
  int64_t rows = 0;
  for (const QuantizedHostMatrix& part : parts) {
    CHECK(part.in_features == parts[0].in_features, "stacked matrices differ in width");
    rows += part.out_features;
  }
  return rows;
}

// Row `index` of stacked parts: the part and the row in it.
template <class Matrix>
std::pair<const Matrix*, int64_t> find_row(std::span<const Matrix> parts, int64_t index) {
  const Matrix* part = parts.data();
  for (; index >= part->out_features; ++part) index -= part->out_features;
  return {part, index};
}

// A matrix prepared by the backend that will multiply with it.
class Weight {
 public:
  virtual ~Weight() = default;
  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }
  WeightFormat format() const { return format_; }
  size_t bytes() const { return bytes_; }

 protected:
  Weight(int64_t out_features, int64_t in_features, WeightFormat format)
      : out_features_(out_features), in_features_(in_features), format_(format) {}
  size_t bytes_ = 0;

 private:
  int64_t out_features_;
  int64_t in_features_;
  WeightFormat format_;
};

// down(swiglu(gate_up(x)))
struct GatedMlp {
  std::unique_ptr<Weight> gate_up;  // [2 * width, hidden], gate rows first
  std::unique_ptr<Weight> down;     // [hidden, width]
};

// The experts of one layer. Those of a group have one router and one width; expert ids count on
// from group to group. The shared expert takes every token.
struct ExpertWeights {
  std::vector<std::vector<GatedMlp>> groups;
  std::optional<GatedMlp> shared;
};

struct ExpertGroupShape {
  int experts = 0;
  int64_t width = 0;
};

// The experts of one layer as a backend multiplies with them; made by Packer::make_experts().
class ExpertSet {
 public:
  // A CHECK failure when shapes do not fit together.
  explicit ExpertSet(ExpertWeights weights);
  virtual ~ExpertSet() = default;
  ExpertSet(const ExpertSet&) = delete;
  ExpertSet& operator=(const ExpertSet&) = delete;

  int64_t hidden() const { return hidden_; }
  std::span<const ExpertGroupShape> groups() const { return groups_; }
  int64_t shared_width() const { return shared_width_; }  // 0: no shared expert
  const ExpertWeights& weights() const { return weights_; }
  // In the order of expert ids; the shared expert, if any, comes last.
  std::span<const GatedMlp* const> mlps() const { return mlps_; }

 private:
  ExpertWeights weights_;
  int64_t hidden_ = 0;
  int64_t shared_width_ = 0;
  std::vector<ExpertGroupShape> groups_;
  std::vector<const GatedMlp*> mlps_;
};

}  // namespace ernie
