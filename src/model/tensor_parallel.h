#pragma once

#include "base/result.h"
#include "model/config.h"
#include "model/weight_source.h"

namespace ernie::model {

// One rank's part of a model that is cut across `size` ranks. Matrices whose outputs are used
// locally are cut by rows, those that consume them by columns; the sizes divide (see
// check_tensor_parallel).
struct Shard {
  int rank = 0;
  int size = 1;

  // This rank's equal part of n.
  int64_t part(int64_t n) const { return n / size; }

  Slice by_rows(const TensorSpec& spec) const {
    return {rank * part(spec.rows), part(spec.rows), 0, spec.cols};
  }
  // One rank adds up in halves what two ranks would each have half of: the same bits.
  Slice by_cols(const TensorSpec& spec) const {
    const int halves = size == 1 && spec.cols % 2 == 0 ? 2 : 1;
    return {0, spec.rows, rank * part(spec.cols), part(spec.cols), halves};
  }
  // Rows of k_proj or v_proj: whole heads, the same head on several ranks when there are fewer
  // heads than ranks.
  Slice kv_rows(const TensorSpec& spec, const ModelConfig& config) const;
};

}  // namespace ernie::model
