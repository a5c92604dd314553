#include "model/quantization_config.h"

#include <regex.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "model/checkpoint_layout.h"

namespace ernie::model {
namespace {

constexpr const char* kMethod =
    "\"compressed-tensors\" (convert the checkpoint to its pack-quantized form with "
    "llm-compressor, or load the bfloat16 checkpoint with --quantization wint4)";

// Entries of "targets" or "ignore": a class of modules, a module's name, or "re:" and a regular
// expression that a name must begin with.
class ModuleSet {
 public:
  ModuleSet(ConfigReader& reader, const char* key) {
    for (const std::string& entry : reader.strings(key)) {
      if (!entry.starts_with("re:")) {
        names_.insert(entry);
        continue;
      }
      if (auto pattern = compile(entry.substr(3))) {
        patterns_.push_back(std::move(pattern));
      } else {
        reader.refuse(key,
                      "regular expressions of at most " + std::to_string(kMostPattern) +
                          " characters, with at most " + std::to_string(kMostRepeats) +
                          " \"+\" and without back references or \"{\" behind \"re:\", not \"" +
                          entry.substr(0, kMostPattern) + "\"");
      }
    }
  }

  // Whether one of a linear's names is meant.
  bool has(const std::vector<std::string>& names) const {
    return names_.contains("Linear") ||
           std::any_of(names.begin(), names.end(), [&](const std::string& name) {
             return names_.contains(name) ||
                    std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
                      return regexec(pattern.get(), name.c_str(), 0, nullptr, 0) == 0;
                    });
           });
  }

 private:
  // POSIX's expressions: they are matched in linear time, which std::regex does not promise, and a
  // checkpoint may come from anywhere.
  using Pattern = std::unique_ptr<regex_t, void (*)(regex_t*)>;
  static constexpr size_t kMostPattern = 256;
  // Each "+" doubles what stands before it when it is compiled, and "{9}" makes nine of it.
  static constexpr int kMostRepeats = 4;

  // Matches from the start of a name on, as Python's re.match(); null if it cannot be compiled.
  static Pattern compile(const std::string& text) {
    Pattern pattern(nullptr, [](regex_t* regex) {
      regfree(regex);
      delete regex;
    });
    std::string posix = "^(";
    int repeats = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool escape = text[i] == '\\' && i + 1 < text.size();
      if (escape && text[i + 1] >= '1' && text[i + 1] <= '9') return pattern;
      if (text[i] == '{' || (text[i] == '+' && ++repeats > kMostRepeats)) return pattern;
      if (escape && text[i + 1] == 'd') {
        posix += "[0-9]";
      } else {
        posix += text[i];
        if (escape) posix += text[i + 1];
      }
      i += escape ? 1 : 0;
    }
    posix += ")";
    if (text.size() > kMostPattern) return pattern;
    auto regex = std::make_unique<regex_t>();
    if (regcomp(regex.get(), posix.c_str(), REG_EXTENDED | REG_NOSUB) == 0) {
      pattern.reset(regex.release());
    }
    return pattern;
  }

  std::set<std::string> names_;
  std::vector<Pattern> patterns_;
};

struct Group {
  ModuleSet targets;
  WeightFormat format;
};

WeightFormat read_weights(ConfigReader& reader) {
  WeightFormat format;
  const int bits = reader.integer("num_bits", 1, 64);
  if (bits != 4 && bits != 8) reader.refuse("num_bits", "4 or 8");
  format.type = bits == 4 ? WeightType::kInt4 : WeightType::kInt8;
  if (reader.string("type", "int") != "int") reader.refuse("type", "\"int\"");
  if (!reader.boolean("symmetric", true)) {
    reader.refuse("symmetric", "true (zero points are not supported)");
  }
  if (reader.boolean("dynamic", false)) reader.refuse("dynamic", "false");
  // "static" and "weight" order only the search for the values, not the inputs that are stored.
  if (reader.has("actorder")) {
    const std::string order = reader.string("actorder", "");
    if (order != "static" && order != "weight") {
      reader.refuse("actorder", "null (inputs in the order of activations are not supported)");
    }
  }
  const std::string strategy = reader.string("strategy", "");
  if (strategy == "group") {
    format.group = reader.integer("group_size", -1, 1 << 20);
    if (format.group != 32 && format.group != 64 && format.group != 128) {
      reader.refuse("group_size", "32, 64 or 128");
    }
  } else if (strategy != "channel") {
    reader.refuse("strategy", "\"channel\" or \"group\"");
  }
  return format;
}

void require_pack_quantized(ConfigReader& reader) {
  if (reader.string("format", "pack-quantized") != "pack-quantized") {
    reader.refuse("format", "\"pack-quantized\"");
  }
}

std::vector<Group> read_groups(ConfigReader& reader) {
  ConfigReader all = reader.object("config_groups");
  std::vector<Group> groups;
  for (const std::string& key : all.keys()) {
    ConfigReader group = all.object(key.c_str());
    require_pack_quantized(group);
    for (const char* activations : {"input_activations", "output_activations"}) {
      if (group.has(activations)) {
        group.refuse(activations, "null (only weights may be quantised)");
      }
    }
    ConfigReader weights = group.object("weights");
    const WeightFormat format = read_weights(weights);
    group.adopt(weights);
    groups.push_back({ModuleSet(group, "targets"), format});
    all.adopt(group);
  }
  reader.adopt(all);
  return groups;
}

// The names that a linear's module may have: the original one and that of transformers.
std::vector<std::string> module_names(const std::string& module, const ModelConfig& config) {
  const std::string suffix = ".weight";
  std::vector<std::string> names;
  for (const Layout layout : {Layout::kPt, Layout::kHf}) {
    for (const StoredPlace& place : places_of({module + suffix}, layout, config)) {
      if (!place.name.ends_with(suffix)) continue;
      names.push_back(place.name.substr(0, place.name.size() - suffix.size()));
    }
  }
  return names;
}

// Finds the one format of each kind of matrix.
class Resolver {
 public:
  Resolver(ConfigReader& reader, const ModelConfig& config)
      : reader_(reader),
        config_(config),
        groups_(read_groups(reader)),
        ignored_(reader, "ignore") {}

  Quantization resolve() {
    for (int n = 0; n < config_.num_layers; ++n) {
      const std::string layer = "model.layers." + std::to_string(n) + ".";
      for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
        add(dense_, layer + "self_attn." + name);
      }
      if (!config_.is_moe_layer(n)) {
        add_mlp(dense_, layer + "mlp.");
        continue;
      }
      // One expert stands for its group; the others are compared when they are loaded.
      const MoeConfig& moe = *config_.moe;
      const std::string experts = layer + "mlp.experts.";
      add_mlp(text_experts_, experts + "0.");
      if (moe.vision.num_experts > 0) {
        add_mlp(vision_experts_, experts + std::to_string(moe.text.num_experts) + ".");
      }
      if (moe.num_shared_experts > 0) add_mlp(dense_, layer + "mlp.shared_experts.");
    }
    const Quantization formats{dense_.format, text_experts_.format, vision_experts_.format};
    if (!formats.any()) {
      reader_.refuse("config_groups", "targets among the linears of the decoder");
    }
    return formats;
  }

 private:
  struct Kind {
    const char* what;
    std::string first;  // the module that `format` was found for
    std::optional<WeightFormat> format;
  };

  std::optional<WeightFormat> format_of(const std::string& module) const {
    const std::vector<std::string> names = module_names(module, config_);
    if (ignored_.has(names)) return std::nullopt;
    for (const Group& group : groups_) {
      if (group.targets.has(names)) return group.format;
    }
    return std::nullopt;
  }

  void add_mlp(Kind& kind, const std::string& stem) {
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) add(kind, stem + name);
  }

  void add(Kind& kind, const std::string& module) {
    const std::optional<WeightFormat> format = format_of(module);
    if (kind.first.empty()) {
      kind.first = module;
      kind.format = format;
    }
    if (format == kind.format) return;
    const auto text = [](const std::string& name, const std::optional<WeightFormat>& f) {
      return "\"" + name + "\" is " + (f ? to_string(*f) : "not quantised");
    };
    reader_.refuse("config_groups", std::string("one format for ") + kind.what +
                                        " of all layers (" + text(kind.first, kind.format) + ", " +
                                        text(module, format) + ", by \"targets\" and \"ignore\")");
  }

  ConfigReader& reader_;
  const ModelConfig& config_;
  std::vector<Group> groups_;
  ModuleSet ignored_;
  Kind dense_{"attention, dense MLPs and shared experts", {}, {}};
  Kind text_experts_{"the experts", {}, {}};
  Kind vision_experts_{"the vision experts", {}, {}};
};

}  // namespace

Quantization read_quantization_config(ConfigReader& reader, const ModelConfig& config) {
  if (reader.string("quant_method", "") != "compressed-tensors") {
    reader.refuse("quant_method", kMethod);
  }
  require_pack_quantized(reader);
  if (reader.string("quantization_status", "compressed") != "compressed") {
    reader.refuse("quantization_status", "\"compressed\"");
  }
  if (reader.has("kv_cache_scheme")) {
    reader.refuse("kv_cache_scheme",
                  "null (the scales of a quantised cache are made while serving, by "
                  "--kv-cache-dtype)");
  }
  if (reader.has("kv_cache_quant_type")) {
    reader.refuse("kv_cache_quant_type", "null (the cache's type is given by --kv-cache-dtype)");
  }
  ConfigReader sparsity = reader.object("sparsity_config");
  if (sparsity.string("format", "dense") != "dense") sparsity.refuse("format", "\"dense\"");
  reader.adopt(sparsity);
  if (!reader.object("transform_config").keys().empty()) {
    reader.refuse("transform_config", "nothing (rotated weights are not supported)");
  }
  if (!reader.has("config_groups")) reader.refuse("config_groups", "an object");
  if (reader.failed()) return {};
  Resolver resolver(reader, config);
  return reader.failed() ? Quantization{} : resolver.resolve();
}

}  // namespace ernie::model
