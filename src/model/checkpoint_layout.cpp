#include "model/checkpoint_layout.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/result.h"

namespace ernie::model {
namespace {

using Renames = std::initializer_list<std::pair<const char*, const char*>>;

bool contains(const std::string& name, const char* part) {
  return name.find(part) != std::string::npos;
}

// Replaces the first of the strings that occurs in the name.
std::string renamed(std::string name, Renames renames) {
  for (const auto& [from, to] : renames) {
    const size_t at = name.find(from);
    if (at != std::string::npos) return name.replace(at, std::string(from).size(), to);
  }
  return name;
}

std::string with_prefix(const std::string& name, const char* from, const char* to) {
  return name.starts_with(from) ? to + name.substr(std::string(from).size()) : name;
}

std::string hf_name(const std::string& name) {
  std::string out = with_prefix(name, "vision_model.", "model.vision_tower.");
  out = with_prefix(out, "model.embed_tokens.", "model.language_model.embed_tokens.");
  out = with_prefix(out, "model.layers.", "model.language_model.layers.");
  out = with_prefix(out, "model.norm.", "model.language_model.norm.");
  if (contains(out, "resampler_model")) {
    out = renamed(out, {{"_linear.0.", "_linear.fc1."},
                        {"_linear.2.", "_linear.fc2."},
                        {"_linear.3.", "_linear.ln."}});
  }
  return renamed(out, {{".mlp.gate.weight_1", ".mlp.vision_moe.gate.weight"},
                       {".mlp.gate.weight", ".mlp.text_moe.gate.weight"}});
}

// "A.experts.7.gate_proj.weight" split into "A.experts.", 7 and "gate_proj".
struct ExpertName {
  std::string stem;
  int64_t index = -1;
  std::string projection;
};

ExpertName parse_expert(const std::string& name) {
  constexpr std::string_view kMark = ".mlp.experts.";
  const size_t at = name.find(kMark);
  if (at == std::string::npos) return {};
  ExpertName expert{name.substr(0, at + kMark.size()), -1, {}};
  const char* digits = name.data() + expert.stem.size();
  const char* end = std::from_chars(digits, name.data() + name.size(), expert.index).ptr;
  const std::string rest(end + 1, name.data() + name.size());
  expert.projection = rest.substr(0, rest.find('.'));
  return expert;
}

// The stem of transformers' names of this expert's modality.
std::string hf_expert_stem(const ExpertName& expert, bool vision) {
  return renamed(hf_name(expert.stem), {{".mlp.experts.", vision ? ".mlp.vision_moe.experts."
                                                                 : ".mlp.text_moe.experts."}});
}

// One of the stacks [experts, 2 * width, hidden] or [experts, hidden, width] of transformers.
StoredPlace stacked_place(const TensorSpec& spec, const ExpertName& expert,
                          const ModelConfig& config) {
  const MoeConfig& moe = *config.moe;
  const bool vision = expert.index >= moe.text.num_experts;
  StoredPlace place;
  std::string stem = expert.stem;
  if (config.vision) stem = hf_expert_stem(expert, vision);
  const bool down = expert.projection == "down_proj";
  place.name = stem + (down ? "down_proj" : "gate_up_proj");
  place.row = expert.projection == "up_proj" ? spec.rows : 0;
  place.total_rows = down ? spec.rows : 2 * spec.rows;
  place.stack_index = vision ? expert.index - moe.text.num_experts : expert.index;
  place.stack_size = vision ? moe.vision.num_experts : moe.text.num_experts;
  return place;
}

// A matrix of its own, as tools that quantise take transformers' stacks apart.
StoredPlace unstacked_place(const TensorSpec& spec, const ExpertName& expert,
                            const ModelConfig& config) {
  const int64_t first_vision = config.moe->text.num_experts;
  const bool vision = expert.index >= first_vision;
  const int64_t index = vision ? expert.index - first_vision : expert.index;
  return {
      hf_expert_stem(expert, vision) + std::to_string(index) + "." + expert.projection + ".weight",
      0, spec.rows};
}

// Paddle's qkv_proj holds all q, then all k, then all v rows; its up_gate_proj gate before up.
StoredPlace fused_place(const TensorSpec& spec, const std::string& stored,
                        const ModelConfig& config) {
  const int64_t q = int64_t{config.num_heads} * config.head_dim;
  const int64_t kv = int64_t{config.num_kv_heads} * config.head_dim;
  const auto qkv = [&](const char* part, int64_t row) {
    return StoredPlace{renamed(stored, {{part, ".qkv_proj."}}), row, q + 2 * kv};
  };
  const auto gate_up = [&](const char* part, int64_t row) {
    return StoredPlace{renamed(stored, {{part, ".up_gate_proj."}}), row, 2 * spec.rows};
  };
  if (contains(stored, ".q_proj.")) return qkv(".q_proj.", 0);
  if (contains(stored, ".k_proj.")) return qkv(".k_proj.", q);
  if (contains(stored, ".v_proj.")) return qkv(".v_proj.", q + kv);
  if (contains(stored, ".gate_proj.")) return gate_up(".gate_proj.", 0);
  if (contains(stored, ".up_proj.")) return gate_up(".up_proj.", spec.rows);
  return {stored, 0, spec.rows};
}

// PaddleFormers' qkv_proj holds, for each KV head, its q rows, its k rows and its v rows.
std::optional<StoredPlace> grouped_place(const TensorSpec& spec, const ModelConfig& config) {
  const int64_t q_rows = int64_t{config.num_heads / config.num_kv_heads} * config.head_dim;
  const int64_t stride = q_rows + 2 * int64_t{config.head_dim};
  const auto place = [&](const char* part, int64_t row, int64_t rows) {
    return StoredPlace{.name = renamed(spec.name, {{part, ".qkv_proj."}}),
                       .row = row,
                       .total_rows = stride * config.num_kv_heads,
                       .block_rows = rows,
                       .block_stride = stride};
  };
  if (contains(spec.name, ".q_proj.")) return place(".q_proj.", 0, q_rows);
  if (contains(spec.name, ".k_proj.")) return place(".k_proj.", q_rows, config.head_dim);
  if (contains(spec.name, ".v_proj.")) {
    return place(".v_proj.", q_rows + config.head_dim, config.head_dim);
  }
  return std::nullopt;
}

// Both modalities share a tensor [modalities, experts], except in transformers' models.
std::vector<StoredPlace> expert_bias_places(const TensorSpec& spec, Layout layout,
                                            const ModelConfig& config) {
  const bool vision = spec.name.ends_with("_1");
  const std::string plain = vision ? spec.name.substr(0, spec.name.size() - 2) : spec.name;
  const auto split = [&](const char* to) {
    return StoredPlace{renamed(hf_name(plain), {{".mlp.moe_statics.", to}}), 0, 1};
  };
  if (layout == Layout::kHf) {
    return {
        split(vision ? ".mlp.vision_moe.gate.moe_statics." : ".mlp.text_moe.gate.moe_statics.")};
  }
  const std::string name =
      layout == Layout::kPaddle ? with_prefix(plain, "model.", "ernie.") : plain;
  std::vector<StoredPlace> places{{name, vision ? 1 : 0, config.vision ? 2 : 1}};
  if (!config.vision) {
    places.push_back({renamed(plain, {{".mlp.moe_statics.", ".mlp.gate.moe_statics."}}), 0, 1});
  }
  return places;
}

}  // namespace

const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::kPt:
      return "original (-PT)";
    case Layout::kHf:
      return "transformers";
    case Layout::kPaddle:
      return "Paddle";
  }
  return "?";
}

Layout probe_layout(const Checkpoint& checkpoint) {
  bool original = false;
  for (const StoredTensor* tensor : checkpoint.tensors()) {
    if (tensor->name.starts_with("ernie.")) return Layout::kPaddle;
    if (tensor->name.starts_with("model.language_model.")) return Layout::kHf;
    original |= tensor->name.starts_with("model.layers.");
  }
  if (original) return Layout::kPt;
  throw StartError(checkpoint.folder() +
                   ": expected tensors named model.layers.*, model.language_model.* or ernie.*, "
                   "found " +
                   (checkpoint.tensors().empty()
                        ? "no tensor at all"
                        : "\"" + checkpoint.tensors()[0]->name + "\" and others"));
}

std::vector<StoredPlace> places_of(const TensorSpec& spec, Layout layout,
                                   const ModelConfig& config) {
  if (spec.role == TensorRole::kExpertBias) return expert_bias_places(spec, layout, config);
  const ExpertName expert = parse_expert(spec.name);
  // Besides the public names: transformers' save_pretrained leaves some modules half renamed.
  if (layout == Layout::kHf) {
    if (expert.index >= 0) {
      return {stacked_place(spec, expert, config),
              unstacked_place(spec, expert, config),
              {spec.name, 0, spec.rows}};
    }
    return {{hf_name(spec.name), 0, spec.rows}, {spec.name, 0, spec.rows}};
  }
  const bool vision = spec.name.starts_with("vision_model.");
  if (layout == Layout::kPt) {
    std::vector<StoredPlace> places{{spec.name, 0, spec.rows}};
    if (vision) places.push_back({"model." + spec.name, 0, spec.rows});
    if (expert.index >= 0 && !config.vision) places.push_back(stacked_place(spec, expert, config));
    if (const auto grouped = grouped_place(spec, config)) places.push_back(*grouped);
    const StoredPlace fused = fused_place(spec, spec.name, config);
    if (contains(fused.name, ".up_gate_proj.")) places.push_back(fused);
    return places;
  }
  if (vision) return {{spec.name, 0, spec.rows}, {"ernie." + spec.name, 0, spec.rows}};
  const std::string stored = with_prefix(spec.name, "model.", "ernie.");
  std::vector<StoredPlace> places{fused_place(spec, stored, config)};
  if (places[0].name != stored) places.push_back({stored, 0, spec.rows});
  return places;
}

bool probe_transposed(const Checkpoint& checkpoint, Layout layout, const ModelConfig& config) {
  if (layout == Layout::kHf) return false;
  const int64_t hidden = config.hidden_size;
  const int64_t width = int64_t{config.num_heads} * config.head_dim;
  const std::string attention = "model.layers.0.self_attn.";
  std::vector<TensorSpec> specs{{attention + "o_proj.weight", TensorRole::kLinear, hidden, width},
                                {attention + "q_proj.weight", TensorRole::kLinear, width, hidden},
                                {"model.layers.0.mlp.down_proj.weight", TensorRole::kLinear, hidden,
                                 config.intermediate_size}};
  if (config.moe) {
    specs.push_back({"model.layers." + std::to_string(config.moe->first_layer) +
                         ".mlp.experts.0.down_proj.weight",
                     TensorRole::kLinear, hidden, config.moe->text.intermediate_size});
  }
  for (const TensorSpec& spec : specs) {
    for (const StoredPlace& place : places_of(spec, layout, config)) {
      const StoredTensor* tensor = checkpoint.find(place.name);
      if (tensor == nullptr || place.stack_index >= 0 || place.total_rows == spec.cols) continue;
      if (tensor->shape == std::vector<int64_t>{place.total_rows, spec.cols}) return false;
      if (tensor->shape == std::vector<int64_t>{spec.cols, place.total_rows}) return true;
    }
  }
  return layout == Layout::kPaddle || config.saved_by_paddle || checkpoint.saved_from_numpy();
}

bool is_ignorable(const std::string& stored_name) {
  return contains(stored_name, "mtp") || stored_name.ends_with("rotary_emb.inv_freq") ||
         stored_name.ends_with("rotary_pos_emb.inv_freq");
}

}  // namespace ernie::model
