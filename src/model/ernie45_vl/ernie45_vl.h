#pragma once

#include <memory>

#include "model/model.h"
#include "model/tensor_parallel.h"
#include "model/weight_loader.h"
#include "model/weight_source.h"

// The ERNIE 4.5 family: text models and, with a vision tower and vision experts, ERNIE-4.5-VL.
namespace ernie::model::ernie45_vl {

// Takes this rank's weights from the source, which may hold no others.
std::unique_ptr<Model> build(const ModelConfig& config, const LoadOptions& options,
                             WeightSource& source, ops::Backend& backend, Communicator& comm);

// Asks the loader for all weights that build() asks for, in that order, and keeps none.
void load_weights(const ModelConfig& config, const LoadOptions& options, const Shard& shard,
                  WeightLoader& loader);

// What build() would need. `sizing` may be nullptr: then only parameters are counted.
struct Needs {
  size_t weight_bytes = 0;
  size_t workspace_bytes = 0;
  int64_t parameters = 0;  // in this rank's shard
};
Needs plan(const ModelConfig& config, const LoadOptions& options, const Shard& shard,
           const ops::Sizing* sizing);

}  // namespace ernie::model::ernie45_vl
