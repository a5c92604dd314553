#pragma once

#include "model/model.h"
#include "model/tensor_parallel.h"

namespace ernie::model::ernie45_vl {

// The parts of what plan() counts as weights.
PartSizes count_parts(const ModelConfig& config, const LoadOptions& options, const Shard& shard,
                      const ops::Sizing& sizing);

}  // namespace ernie::model::ernie45_vl
