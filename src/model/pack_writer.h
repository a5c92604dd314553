#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "model/config.h"

namespace ernie::model {

struct PackOptions {
  Quantization quantization;
  int tensor_parallel_size = 1;
  // Called with (bytes written, bytes in all), first with 0 written; may be empty.
  std::function<void(size_t, size_t)> progress;
};

// Quantises the bfloat16 checkpoint of a folder for so many ranks and writes it to a new folder
// `output`, as pack_index.h describes, with copies of the other small files. It gives the very
// weights that loading the checkpoint with this quantisation gives. One matrix at a time is in host
// memory. The folder is called output.partial until it is complete. Throws StartError.
void write_pack(const ModelConfig& config, const std::string& model_dir, const PackOptions& options,
                const std::string& output);

}  // namespace ernie::model
