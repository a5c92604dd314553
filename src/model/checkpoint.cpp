#include "model/checkpoint.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>

#include "base/result.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

// Names of what lies in the folder, in order.
std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> safetensors_files(const std::string& folder) {
  std::vector<std::string> files = entries(folder);
  std::erase_if(files, [](const std::string& name) { return !name.ends_with(".safetensors"); });
  return files;
}

// Shards are named NAME-00001-of-00003.safetensors; without an index, the names tell whether one is
// missing.
void check_shards(const std::string& folder, const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    int number = 0, count = 0, end = 0;
    const size_t dash = file.rfind("-of-") == std::string::npos
                            ? std::string::npos
                            : file.rfind('-', file.rfind("-of-") - 1);
    if (dash == std::string::npos) continue;
    if (std::sscanf(file.c_str() + dash, "-%5d-of-%5d.safetensors%n", &number, &count, &end) != 2 ||
        dash + static_cast<size_t>(end) != file.size()) {
      continue;
    }
    for (int i = 1; i <= count; ++i) {
      char name[40];
      std::snprintf(name, sizeof(name), "-%05d-of-%05d.safetensors", i, count);
      const std::string shard = file.substr(0, dash) + name;
      if (std::find(files.begin(), files.end(), shard) != files.end()) continue;
      throw StartError(folder + "/" + shard + ": expected this shard beside " + file +
                       ", and it is not there; download it again");
    }
  }
}

// What lies in a folder without safetensors, and how to make some of it.
std::string nothing_to_read(const std::string& folder) {
  const std::string expected = std::string("expected ") + kIndexFile + " or *.safetensors, found ";
  const std::vector<std::string> names = entries(folder);
  const auto first = [&](auto matches) {
    const auto at = std::find_if(names.begin(), names.end(), matches);
    return at == names.end() ? std::string() : *at;
  };
  const std::string ranks = first([&](const std::string& name) {
    return name.starts_with("rank") && fs::is_directory(folder + "/" + name);
  });
  if (!ranks.empty()) {
    return expected + "\"" + ranks +
           "/\", in which FastDeploy keeps weights that are cut for one GPU of several; give the "
           "folder of the checkpoint that they were made from, and --quantization if they are "
           "quantised";
  }
  const std::string paddle =
      first([](const std::string& name) { return name.ends_with(".pdparams"); });
  if (!paddle.empty()) {
    return expected + "\"" + paddle +
           "\", which is Paddle's own format; load it with PaddleFormers and save it with "
           "save_pretrained(folder, save_to_hf=True)";
  }
  const std::string torch = first([](const std::string& name) {
    return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
  });
  if (!torch.empty()) {
    return expected + "\"" + torch +
           "\", which is PyTorch's own format; load it with transformers and save it with "
           "save_pretrained(folder)";
  }
  return expected + "neither; give --model a folder with a safetensors checkpoint";
}

}  // namespace

bool has_checkpoint(const std::string& folder) {
  return text::has_entry(folder + "/" + kIndexFile) || !safetensors_files(folder).empty();
}

Checkpoint::Checkpoint(const std::string& folder) : folder_(folder) {
  const std::string index_path = folder + "/" + kIndexFile;
  if (text::has_entry(index_path)) {
    open_shards(index_path);
  } else if (text::has_entry(folder + "/" + kSingleFile)) {
    add_file(kSingleFile);
  } else {
    const std::vector<std::string> files = safetensors_files(folder);
    if (files.empty()) throw StartError(folder + ": " + nothing_to_read(folder));
    check_shards(folder, files);
    for (const std::string& file : files) add_file(file);
  }
}

bool Checkpoint::saved_from_numpy() const {
  return std::any_of(files_.begin(), files_.end(),
                     [](const SafetensorsFile& file) { return file.format() == "np"; });
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
