#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/safetensors.h"
#include "model/weight_source.h"
#include "ops/weight.h"

namespace ernie::model {

// A matrix [rows, cols] in compressed-tensors' pack-quantized form. In place of X.weight there are
//   X.weight_packed  int32 [rows, words]: see QuantizedHostMatrix
//   X.weight_scale   BF16, F16 or F32 [rows, groups]
//   X.weight_shape   int64 [2]: rows and cols
struct QuantizedTensor {
  const StoredTensor* words = nullptr;
  const StoredTensor* scales = nullptr;
  const StoredTensor* shape = nullptr;
  WeightFormat format;
  int64_t cols = 0;
};

using FindTensor = std::function<const StoredTensor*(const std::string&)>;

inline std::string packed_name(const std::string& weight) { return weight + "_packed"; }
inline std::string scale_name(const std::string& weight) { return weight + "_scale"; }
inline std::string shape_name(const std::string& weight) { return weight + "_shape"; }

// The matrix that would be called `weight` ("X.weight") if it were not quantised; none when there
// is no X.weight_packed. The shapes tell the format. Throws StartError that names file, tensor,
// expected and found.
std::optional<QuantizedTensor> find_quantized(const FindTensor& find, const std::string& weight,
                                              int64_t rows, int64_t cols);

// Slices of quantised tensors where they lie; words that are unaligned there and scales that are
// not bfloat16 are copied.
class QuantizedSlices {
 public:
  // Throws StartError when the columns begin or end inside a word or a group.
  QuantizedHostMatrix take(const QuantizedTensor& tensor, const Slice& slice);
  // Frees the copies.
  void clear() { copies_.clear(); }

 private:
  std::byte* copy(size_t bytes);

  std::deque<std::vector<std::byte>> copies_;
};

}  // namespace ernie::model
