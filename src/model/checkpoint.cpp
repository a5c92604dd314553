#include "model/checkpoint.h"

#include <boost/json.hpp>
#include <map>

#include "base/result.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

}  // namespace

Checkpoint::Checkpoint(const std::string& folder) : folder_(folder) {
  const std::string index_path = folder + "/" + kIndexFile;
  if (text::has_entry(index_path)) {
    open_shards(index_path);
  } else if (text::has_entry(folder + "/" + kSingleFile)) {
    add_file(kSingleFile);
  } else {
    throw StartError(folder + ": expected " + kSingleFile + " or " + kIndexFile +
                     ", found neither; give --model a folder with a safetensors checkpoint");
  }
}

void Checkpoint::add_file(const std::string& name) {
  const SafetensorsFile& file = files_.emplace_back(folder_ + "/" + name);
  for (const StoredTensor& tensor : file.tensors()) {
    const auto [at, added] = by_name_.emplace(tensor.name, &tensor);
    if (!added) {
      throw StartError(file.path() + ": tensor \"" + tensor.name + "\" is also in " +
                       at->second->file->path() + "; expected each tensor once");
    }
    tensors_.push_back(&tensor);
  }
}

void Checkpoint::open_shards(const std::string& index_path) {
  const Result<boost::json::object> index = text::read_json_object(index_path);
  if (!index) throw StartError(index.error().message);
  const boost::json::value* map = index->if_contains("weight_map");
  if (map == nullptr || !map->is_object()) {
    throw StartError(index_path + ": expected \"weight_map\" to be an object");
  }
  std::map<std::string, std::vector<std::string>> tensors_of_shard;
  for (const auto& [tensor, shard] : map->get_object()) {
    const std::string name = shard.is_string() ? std::string(shard.get_string()) : "";
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      throw StartError(index_path + ": tensor \"" + std::string(tensor) +
                       "\": expected the name of a file in the same folder, found " +
                       boost::json::serialize(shard).substr(0, 200));
    }
    tensors_of_shard[name].emplace_back(tensor);
  }
  for (const auto& [shard, names] : tensors_of_shard) {
    if (!text::has_entry(folder_ + "/" + shard)) {
      throw StartError(folder_ + "/" + shard + ": " + index_path + " expects this shard, for \"" +
                       names.front() + "\" and others, and it is not there; download it again");
    }
    add_file(shard);
    for (const std::string& name : names) {
      if (find(name) == nullptr) {
        throw StartError(folder_ + "/" + shard + ": expected tensor \"" + name + "\", which " +
                         index_path + " places here, found none of that name");
      }
    }
  }
}

const StoredTensor* Checkpoint::find(const std::string& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : at->second;
}

}  // namespace ernie::model
