#include "model/config.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "model/config_reader.h"
#include "model/fixed_settings.h"
#include "model/pack_index.h"
#include "model/quantization_config.h"
#include "text/json_file.h"

namespace ernie::model {
namespace {

constexpr int kMaxWidth = 1 << 17;
constexpr int kMaxLayers = 1000;
constexpr int kMaxHeads = 1024;
constexpr int kMaxExperts = 4096;
constexpr int kMaxTokenId = 1 << 24;

void require_value(ConfigReader& reader, const char* key, int expected) {
  const boost::json::value value = expected;
  reader.require_one_of(key, {&value, 1});
}

enum class Form { kText, kFlatVision, kNestedVision };

std::optional<Form> form_of(const std::string& model_type, const std::string& architecture) {
  if (model_type == "ernie4_5" || model_type == "ernie4_5_moe") return Form::kText;
  if (model_type == "ernie4_5_moe_vl") return Form::kFlatVision;
  if (model_type == "ernie4_5_vl_moe") return Form::kNestedVision;
  if (!model_type.empty()) return std::nullopt;
  if (architecture.starts_with("Ernie4_5_VL")) return Form::kFlatVision;
  if (architecture.starts_with("Ernie4_5")) return Form::kText;
  return std::nullopt;
}

void require_settings(ConfigReader& reader, const ModelConfig& config, bool vision) {
  require_decoder_settings(reader);
  if (config.moe) require_moe_settings(reader);
  if (vision) require_vision_settings(reader);
}

// Rotary settings live at the top, in rope_parameters or in rope_scaling, by age of the file.
void read_rope(ConfigReader& reader, ModelConfig& config, bool vision) {
  const int pairs = config.head_dim / 2;
  config.rope_theta = reader.number("rope_theta", 1.0, 1e12, config.rope_theta);
  config.rope_t_pairs =
      reader.integer("freq_allocation", 0, pairs, std::min(config.rope_t_pairs, pairs));
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    ConfigReader rope = reader.object(key);
    config.rope_theta = rope.number("rope_theta", 1.0, 1e12, config.rope_theta);
    require_rope_settings(rope);
    const std::vector<int> section = rope.integers("mrope_section", 0, pairs);
    if (vision && !section.empty()) {
      if (section.size() != 3 || section[0] != section[1] ||
          section[0] + section[1] + section[2] != pairs) {
        rope.refuse("mrope_section",
                    "three numbers (height, width, time), height equal to width, sum " +
                        std::to_string(pairs) + " (head_dim / 2)");
      } else {
        config.rope_t_pairs = section[2];
      }
    }
    reader.adopt(rope);
  }
}

// transformers lists each layer as "dense" or "sparse"; ours must be one run of sparse layers.
void read_layer_types(ConfigReader& reader, ModelConfig& config) {
  const std::vector<std::string> types = reader.strings("mlp_layer_types");
  if (types.empty()) return;
  const auto sparse = [](const std::string& t) { return t == "sparse"; };
  const auto first = std::find_if(types.begin(), types.end(), sparse);
  const auto last = std::find_if_not(first, types.end(), sparse);
  if (static_cast<int>(types.size()) != config.num_layers ||
      std::any_of(last, types.end(), sparse) ||
      !std::all_of(types.begin(), types.end(),
                   [&](const std::string& t) { return sparse(t) || t == "dense"; })) {
    reader.refuse("mlp_layer_types", "one \"dense\" or \"sparse\" for each of the " +
                                         std::to_string(config.num_layers) +
                                         " layers, the sparse ones in one run");
    return;
  }
  if (first == last) {
    config.moe.reset();
    return;
  }
  config.moe->first_layer = static_cast<int>(first - types.begin());
  config.moe->last_layer = static_cast<int>(last - types.begin()) - 1;
}

// Start and end are one number, or one per modality. An end of -1, or past the last layer, means
// the last layer.
void read_layer_range(ConfigReader& reader, ModelConfig& config) {
  const int last = config.num_layers - 1;
  std::vector<int> start = reader.integers("moe_layer_start_index", 0, kMaxLayers);
  std::vector<int> end = reader.integers("moe_layer_end_index", -1, kMaxLayers);
  if (start.empty()) start = {1};
  if (end.empty()) end = {-1};
  for (int& e : end) e = e < 0 ? last : std::min(e, last);
  const auto differ = [](const std::vector<int>& v) {
    return std::adjacent_find(v.begin(), v.end(), std::not_equal_to<>()) != v.end();
  };
  if (differ(start)) reader.refuse("moe_layer_start_index", "the same layer for text and vision");
  if (differ(end)) reader.refuse("moe_layer_end_index", "the same layer for text and vision");
  if (start[0] > last) {
    reader.refuse("moe_layer_start_index", "a layer of the model, 0 to " + std::to_string(last));
  }
  config.moe->first_layer = start[0];
  config.moe->last_layer = end[0];
  config.moe->interval = reader.integer("moe_layer_interval", 1, kMaxLayers, 1);
}

void read_moe(ConfigReader& reader, ModelConfig& config, bool vision) {
  const std::vector<int> experts = reader.integers("moe_num_experts", 0, kMaxExperts);
  if (experts.empty() || experts[0] == 0) return;
  const std::vector<int> widths = reader.integers("moe_intermediate_size", 1, kMaxWidth);
  if (widths.empty()) {
    reader.refuse("moe_intermediate_size", "the width of an expert, or [text, vision]");
    return;
  }
  MoeConfig moe;
  moe.text = {experts[0], widths[0]};
  if (vision) moe.vision = {experts.back(), widths.back()};
  if (vision && moe.vision.num_experts == 0) {
    reader.refuse("moe_num_experts", "experts for both text and vision");
  }
  const int fewest =
      vision ? std::min(moe.text.num_experts, moe.vision.num_experts) : moe.text.num_experts;
  moe.top_k = reader.integer("moe_k", 1, std::max(fewest, 1));
  moe.num_shared_experts = reader.integer("moe_num_shared_experts", 0, 64, 0);
  moe.correction_bias = reader.boolean("moe_use_aux_free", true);
  moe.norm_min = reader.number("moe_norm_min", 0.0, 1.0, moe.norm_min);
  config.moe = moe;
  read_layer_range(reader, config);
  read_layer_types(reader, config);
}

void read_decoder(ConfigReader& reader, ModelConfig& config, bool vision) {
  config.hidden_size = reader.integer("hidden_size", 1, kMaxWidth);
  config.num_layers = reader.integer("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = reader.integer("num_attention_heads", 1, kMaxHeads);
  config.num_kv_heads = reader.integer("num_key_value_heads", 1, kMaxHeads, config.num_heads);
  config.intermediate_size = reader.integer("intermediate_size", 1, 1 << 20);
  config.vocab_size = reader.integer("vocab_size", 1, kMaxTokenId);
  config.max_position_embeddings =
      reader.integer("max_position_embeddings", 1, 1 << 30, config.max_position_embeddings);
  config.norm_eps = reader.number("rms_norm_eps", 0.0, 1.0, config.norm_eps);
  if (reader.failed()) return;

  if (config.num_heads % config.num_kv_heads != 0) {
    reader.refuse("num_key_value_heads",
                  "a divisor of num_attention_heads, which is " + std::to_string(config.num_heads));
  }
  if (!reader.has("head_dim") && config.hidden_size % config.num_heads != 0) {
    reader.refuse("num_attention_heads", "a divisor of hidden_size, which is " +
                                             std::to_string(config.hidden_size) +
                                             " (there is no head_dim)");
  }
  config.head_dim = reader.integer("head_dim", 2, 1024, config.hidden_size / config.num_heads);
  if (config.head_dim % 2 != 0) reader.refuse("head_dim", "an even number");
  read_rope(reader, config, vision);
  read_moe(reader, config, vision);
}

void read_vision(ConfigReader& reader, ModelConfig& config) {
  VisionConfig vision;
  ConfigReader v = reader.object("vision_config");
  vision.depth = v.integer("depth", 1, kMaxLayers);
  vision.hidden_size = v.integer(v.has("embed_dim") ? "embed_dim" : "hidden_size", 1, kMaxWidth);
  require_value(v, "hidden_size", vision.hidden_size);
  vision.num_heads = v.integer("num_heads", 1, kMaxHeads);
  const float ratio = v.number("mlp_ratio", 0.0, 1024.0, 4.0f);
  vision.intermediate_size = v.integer("intermediate_size", 1, 1 << 20,
                                       static_cast<int>(ratio * vision.hidden_size + 0.5f));
  vision.patch_size = v.integer("patch_size", 1, 256, vision.patch_size);
  vision.norm_eps = v.number("rms_norm_eps", 0.0, 1.0, vision.norm_eps);
  require_vision_tower_settings(v);
  if (!v.failed() && vision.hidden_size % vision.num_heads != 0) {
    v.refuse("num_heads",
             "a divisor of the tower's width, which is " + std::to_string(vision.hidden_size));
  }
  if (!v.failed() && vision.head_dim() % 4 != 0) {
    v.refuse("num_heads", "heads of a size that 4 divides, not " +
                              std::to_string(vision.head_dim()) + " (2-D rotary embedding)");
  }
  ConfigReader rope = v.object("rope_parameters");
  vision.rope_theta = rope.number("rope_theta", 1.0, 1e12, vision.rope_theta);
  v.adopt(rope);
  reader.adopt(v);

  require_value(reader, "pixel_hidden_size", vision.hidden_size);
  const char* id_key = reader.has("im_patch_id") ? "im_patch_id" : "image_token_id";
  config.image_token_id = reader.integer(id_key, 0, config.vocab_size - 1, -1);
  config.vision = vision;
}

Result<boost::json::value> parse_json(std::string_view text, const std::string& file) {
  boost::json::stream_parser parser;
  boost::system::error_code code;
  const size_t read = parser.write_some(text.data(), text.size(), code);
  if (!code) parser.finish(code);
  if (code || read < text.find_last_not_of(" \t\r\n") + 1) {
    const size_t line_begin = read == 0 ? 0 : text.rfind('\n', read - 1) + 1;
    const std::string line(text.substr(line_begin, std::min<size_t>(read - line_begin + 20, 80)));
    const auto number =
        std::count(text.begin(), text.begin() + static_cast<long>(line_begin), '\n');
    return invalid_argument(file + ": expected JSON, found an error in line " +
                                std::to_string(number + 1) + " near `" + line + "`" +
                                (code ? ": " + code.message() : ""),
                            "model");
  }
  return parser.release();
}

// "float32" of "torch.float32" or "paddle.float32".
std::string type_name(const std::string& written) {
  for (const std::string prefix : {"torch.", "paddle."}) {
    if (written.starts_with(prefix)) return written.substr(prefix.size());
  }
  return written;
}

}  // namespace

Result<ModelConfig> parse_config(const std::string& json_text, const std::string& file_name) {
  Result<boost::json::value> json = parse_json(text::without_byte_order_mark(json_text), file_name);
  if (!json) return json.error();
  if (!json->is_object()) {
    return invalid_argument(file_name + ": expected a JSON object at the top level", "model");
  }
  ConfigReader reader(json->get_object(), file_name);
  ModelConfig config;
  const std::vector<std::string> architectures = reader.strings("architectures");
  const std::string model_type = reader.string("model_type", "");
  if (!architectures.empty()) config.architecture = architectures[0];
  if (config.architecture.empty()) config.architecture = model_type;
  const std::optional<Form> form = form_of(model_type, config.architecture);
  if (!form) {
    reader.refuse("model_type",
                  "ernie4_5, ernie4_5_moe, ernie4_5_moe_vl or ernie4_5_vl_moe (architecture \"" +
                      config.architecture + "\")");
    return reader.error();
  }
  config.tie_word_embeddings = reader.boolean("tie_word_embeddings", true);
  config.dtype = type_name(reader.string("dtype", reader.string("torch_dtype", config.dtype)));
  config.saved_by_paddle = reader.string("source", "") == "paddle";
  if (config.dtype != "bfloat16" && config.dtype != "float32" && config.dtype != "float16") {
    reader.refuse(reader.has("dtype") ? "dtype" : "torch_dtype", "bfloat16, float32 or float16");
  }
  if (*form == Form::kNestedVision) {
    ConfigReader text = reader.object("text_config");
    read_decoder(text, config, true);
    require_settings(text, config, true);
    if (!reader.has("tie_word_embeddings")) {
      config.tie_word_embeddings = text.boolean("tie_word_embeddings", true);
    }
    reader.adopt(text);
  } else {
    read_decoder(reader, config, *form == Form::kFlatVision);
  }
  require_settings(reader, config, *form != Form::kText);
  if (*form != Form::kText && !reader.failed()) read_vision(reader, config);
  if (!reader.failed()) {
    ConfigReader quantization = reader.object("quantization_config");
    if (!reader.failed() && !quantization.keys().empty())
      config.quantization = read_quantization_config(quantization, config);
    reader.adopt(quantization);
  }
  if (reader.failed()) return reader.error();
  return config;
}

ModelConfig without_vision(ModelConfig config) {
  config.vision.reset();
  if (config.moe) config.moe->vision = {};
  return config;
}

Result<ModelConfig> load_config(const std::string& model_dir) {
  const std::string path = model_dir + "/config.json";
  Result<std::string> text = text::read_file(path);
  if (!text) return text.error();
  Result<ModelConfig> config = parse_config(*text, path);
  if (!config || !is_pack(model_dir)) return config;
  const Result<PackIndex> index = read_pack_index(model_dir);
  if (!index) return index.error();
  const Status same = check_config(*index, *config, *text);
  if (!same) return same.error();
  config->quantization = index->quantization;
  config->packed_ranks = index->tensor_parallel_size;
  return config;
}

}  // namespace ernie::model
