#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "model/config.h"

namespace ernie::model {

// What `ernie pack` writes beside the files of the ranks: ernie_pack.json. Each rank has one
// safetensors file with its rows and columns of all tensors, under their names in the original
// checkpoints, quantised matrices in the form of compressed_tensors.h.
struct PackIndex {
  static constexpr int kVersion = 1;

  struct File {
    uint64_t bytes = 0;
    Hash128 header;  // of what comes before the data
    std::unordered_map<std::string, Hash128> tensors;
  };

  Quantization quantization;
  int tensor_parallel_size = 0;
  boost::json::object geometry;  // see geometry_of()
  Hash128 config;                // of config.json, whose numbers decide answers
  std::vector<File> files;       // of each rank
};

std::string pack_index_path(const std::string& folder);
std::string pack_file_name(int rank, int ranks);

// Whether a folder is one of `ernie pack`.
bool is_pack(const std::string& folder);

// The numbers that shapes of tensors depend on.
boost::json::object geometry_of(const ModelConfig& config);

// The errors name file, expected and found.
Result<PackIndex> read_pack_index(const std::string& folder);
Status check_config(const PackIndex& index, const ModelConfig& config, const std::string& text);

std::string pack_index_text(const PackIndex& index);

// 32 hexadecimal digits.
std::string to_string(const Hash128& hash);

}  // namespace ernie::model
