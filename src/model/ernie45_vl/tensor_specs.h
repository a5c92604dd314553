#pragma once

#include <string>
#include <utility>

#include "model/weight_source.h"

namespace ernie::model::ernie45_vl {

inline TensorSpec linear_spec(std::string name, int64_t out, int64_t in) {
  return {std::move(name), TensorRole::kLinear, out, in};
}

inline TensorSpec vector_spec(std::string name, int64_t width) {
  return {std::move(name), TensorRole::kVector, 1, width};
}

// [vocabulary, hidden]
inline TensorSpec table_spec(std::string name, const ModelConfig& config) {
  return {std::move(name), TensorRole::kTable, config.vocab_size, config.hidden_size};
}
inline TensorSpec head_spec(const ModelConfig& config) {
  return table_spec("lm_head.weight", config);
}

}  // namespace ernie::model::ernie45_vl
