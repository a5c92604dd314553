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

}  // namespace ernie::model::ernie45_vl
