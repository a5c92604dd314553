#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/safetensors.h"

namespace ernie::model {

// Whether the folder holds safetensors, where Checkpoint looks for them.
bool has_checkpoint(const std::string& folder);

// All tensors of a checkpoint folder: the shards that model.safetensors.index.json names, else
// model.safetensors, else all *.safetensors. Throws StartError that names file, tensor, expected
// and found. Immutable.
class Checkpoint {
 public:
  explicit Checkpoint(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const StoredTensor* find(const std::string& name) const;  // nullptr when there is none
  const std::vector<const StoredTensor*>& tensors() const { return tensors_; }
  // Whether a file was written from arrays of numpy, as Paddle's tools do.
  bool saved_from_numpy() const;

 private:
  void add_file(const std::string& name);
  void open_shards(const std::string& index_path);

  std::string folder_;
  std::deque<SafetensorsFile> files_;
  std::vector<const StoredTensor*> tensors_;
  std::unordered_map<std::string, const StoredTensor*> by_name_;
};

}  // namespace ernie::model
