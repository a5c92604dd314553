#pragma once

#include <memory>
#include <string>

#include "model/config.h"
#include "model/tensor_parallel.h"
#include "model/weight_source.h"

namespace ernie::model {

// One rank's file in a folder of `ernie pack`. It gives the slices that it was packed with, and no
// others. Sizes and the file's header are checked here, each tensor's checksum when it is first
// read; throws StartError that names file, tensor, expected and found.
std::unique_ptr<WeightSource> open_pack_source(const ModelConfig& config, const std::string& folder,
                                               const Shard& shard);

}  // namespace ernie::model
