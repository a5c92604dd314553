#include "model/pack_index.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "model/quantization.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

namespace json = boost::json;

constexpr const char* kIndexFile = "ernie_pack.json";
constexpr const char* kDense = "dense_quant_type";
constexpr const char* kTextExperts = "moe_quant_type";
constexpr const char* kVisionExperts = "image_moe_quant_type";

Error refuse(const std::string& path, const std::string& problem) {
  return invalid_argument(path + ": " + problem + "; pack the model again", "model");
}

Hash128 parse_hash(const json::value& value) {
  const std::string text(value.as_string());
  Hash128 hash;
  const char* middle = text.data() + 16;
  if (text.size() != 32 || std::from_chars(text.data(), middle, hash.high, 16).ptr != middle ||
      std::from_chars(middle, middle + 16, hash.low, 16).ptr != middle + 16) {
    throw std::invalid_argument("expected 32 hexadecimal digits, found " + text);
  }
  return hash;
}

std::optional<WeightFormat> parse_format(const json::object& formats, const char* key) {
  const auto format = parse_weight_format(std::string(formats.at(key).as_string()));
  if (!format) throw std::invalid_argument(std::string(key) + " " + format.error().message);
  return *format;
}

PackIndex::File parse_file(const json::object& object) {
  PackIndex::File file{
      object.at("bytes").to_number<uint64_t>(), parse_hash(object.at("header")), {}};
  for (const auto& [name, hash] : object.at("tensors").as_object()) {
    file.tensors.emplace(name, parse_hash(hash));
  }
  return file;
}

PackIndex parse_index(const json::object& object) {
  const json::object& formats = object.at("quantization").as_object();
  PackIndex index{
      .quantization = {parse_format(formats, kDense), parse_format(formats, kTextExperts),
                       parse_format(formats, kVisionExperts)},
      .tensor_parallel_size = object.at("tensor_parallel_size").to_number<int>(),
      .geometry = object.at("geometry").as_object(),
      .config = parse_hash(object.at("config")),
      .files = {}};
  const json::object& files = object.at("files").as_object();
  for (int rank = 0; rank < index.tensor_parallel_size; ++rank) {
    index.files.push_back(
        parse_file(files.at(pack_file_name(rank, index.tensor_parallel_size)).as_object()));
  }
  return index;
}

}  // namespace

std::string pack_index_path(const std::string& folder) { return folder + "/" + kIndexFile; }

std::string pack_file_name(int rank, int ranks) {
  return "rank-" + std::to_string(rank) + "-of-" + std::to_string(ranks) + ".safetensors";
}

bool is_pack(const std::string& folder) {
  std::error_code ignored;
  return std::filesystem::exists(pack_index_path(folder), ignored);
}

json::object geometry_of(const ModelConfig& c) {
  json::object out{{"hidden_size", c.hidden_size}, {"num_layers", c.num_layers},
                   {"num_heads", c.num_heads},     {"num_kv_heads", c.num_kv_heads},
                   {"head_dim", c.head_dim},       {"intermediate_size", c.intermediate_size},
                   {"vocab_size", c.vocab_size}};
  if (c.moe) {
    out["text_experts"] = c.moe->text.num_experts;
    out["text_expert_width"] = c.moe->text.intermediate_size;
    out["vision_experts"] = c.moe->vision.num_experts;
    out["vision_expert_width"] = c.moe->vision.intermediate_size;
    out["shared_experts"] = c.moe->num_shared_experts;
    out["first_moe_layer"] = c.moe->first_layer;
    out["last_moe_layer"] = c.moe->last_layer;
    out["moe_interval"] = c.moe->interval;
  }
  if (c.vision) {
    out["vision_depth"] = c.vision->depth;
    out["vision_hidden_size"] = c.vision->hidden_size;
    out["vision_heads"] = c.vision->num_heads;
    out["vision_intermediate_size"] = c.vision->intermediate_size;
    out["patch_size"] = c.vision->patch_size;
  }
  return out;
}

Result<PackIndex> read_pack_index(const std::string& folder) {
  const std::string path = pack_index_path(folder);
  const Result<json::object> object = text::read_json_object(path);
  if (!object) return object.error();
  const json::value* version = object->if_contains("version");
  if (version == nullptr || *version != PackIndex::kVersion) {
    return refuse(path, "expected format version " + std::to_string(PackIndex::kVersion) +
                            ", found " + (version ? json::serialize(*version) : "none"));
  }
  try {
    return parse_index(*object);
  } catch (const std::exception& error) {
    return refuse(path,
                  std::string("expected the index that ernie pack writes, found: ") + error.what());
  }
}

Status check_config(const PackIndex& index, const ModelConfig& config, const std::string& text) {
  const json::object found = geometry_of(config);
  for (const auto& [key, value] : index.geometry) {
    const json::value* other = found.if_contains(key);
    if (other != nullptr && *other == value) continue;
    return refuse("config.json", "expected " + std::string(key) + " to be " +
                                     json::serialize(value) + ", as when it was packed, found " +
                                     (other ? json::serialize(*other) : "none"));
  }
  const Hash128 hash = hash_bytes(text.data(), text.size());
  if (hash == index.config) return {};
  return refuse("config.json", "expected checksum " + to_string(index.config) +
                                   ", as when it was packed, found " + to_string(hash) +
                                   "; restore it, or pack the model again");
}

std::string pack_index_text(const PackIndex& index) {
  const Quantization& q = index.quantization;
  json::object files;
  for (size_t rank = 0; rank < index.files.size(); ++rank) {
    const PackIndex::File& file = index.files[rank];
    json::object tensors;
    for (const auto& [name, hash] : file.tensors) tensors[name] = to_string(hash);
    files[pack_file_name(static_cast<int>(rank), index.tensor_parallel_size)] = {
        {"bytes", file.bytes}, {"header", to_string(file.header)}, {"tensors", tensors}};
  }
  return json::serialize(json::object{{"version", PackIndex::kVersion},
                                      {"tensor_parallel_size", index.tensor_parallel_size},
                                      {"quantization",
                                       {{kDense, weight_format_name(q.dense)},
                                        {kTextExperts, weight_format_name(q.text_experts)},
                                        {kVisionExperts, weight_format_name(q.vision_experts)}}},
                                      {"geometry", index.geometry},
                                      {"config", to_string(index.config)},
                                      {"files", files}});
}

std::string to_string(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace ernie::model
