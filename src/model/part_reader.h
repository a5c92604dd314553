#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/weight_source.h"
#include "ops/weight.h"

namespace ernie::model {

// A slice of a tensor, to be stacked with others into one matrix.
struct MatrixPart {
  TensorSpec tensor;
  Slice slice;
};

int64_t total_rows(std::span<const MatrixPart> parts);

// Gets rows of matrices that are not quantised from a source into host memory.
class PartReader {
 public:
  explicit PartReader(WeightSource& source) : source_(source) {}

  // The parts where they lie, or all their rows as one matrix in scratch memory, in float32 if
  // `format` is that, else in bfloat16; with all columns of the rows if their scales are wanted.
  // Valid until the next call, trim() or release() of the source.
  std::vector<HostMatrix> rows(std::span<const MatrixPart> parts, WeightFormat format);
  // Gives back scratch memory of large matrices.
  void trim();

 private:
  std::vector<HostMatrix> map(std::span<const MatrixPart> parts);
  HostMatrix read(std::span<const MatrixPart> parts, WeightFormat format);

  WeightSource& source_;
  std::vector<std::byte> scratch_;
};

}  // namespace ernie::model
