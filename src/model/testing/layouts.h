#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "model/testing/tiny_model.h"

// The public layouts of the tensors that tiny_pt_tensors() gives.
namespace ernie::model::testing {

inline bool contains(const std::string& name, const std::string& part) {
  return name.find(part) != std::string::npos;
}

inline std::string replaced(std::string name, const std::string& from, const std::string& to) {
  const size_t at = name.find(from);
  return at == std::string::npos ? name : name.replace(at, from.size(), to);
}

// -PT on disk: routers [hidden, experts], one correction bias [2, experts].
inline TensorMap pt_layout(TensorMap tensors) {
  TensorMap out;
  for (auto& [name, tensor] : tensors) {
    if (contains(name, "e_score_correction_bias_1")) continue;
    if (contains(name, "e_score_correction_bias")) {
      out[name] = stacked(tensor, tensors.at(name + "_1"));
    } else {
      out[name] = contains(name, ".mlp.gate.weight") ? transposed(tensor) : tensor;
    }
  }
  return out;
}

// Joins the tensors that end in `parts` to one that ends in `fused`, rows one after the other.
inline TensorMap fuse(const TensorMap& tensors, const std::vector<std::string>& parts,
                      const std::string& fused) {
  TensorMap out;
  for (const auto& [name, tensor] : tensors) {
    if (contains(name, "." + parts[0] + ".")) {
      NamedTensor all = tensor;
      for (size_t i = 1; i < parts.size(); ++i) {
        all = stacked(all, tensors.at(replaced(name, parts[0], parts[i])));
      }
      out[replaced(name, parts[0], fused)] = all;
    } else if (std::none_of(parts.begin(), parts.end(),
                            [&](auto& part) { return contains(name, "." + part + "."); })) {
      out[name] = tensor;
    }
  }
  return out;
}

inline TensorMap paddle_layout(const TensorMap& tensors, bool fused, bool vision_prefix) {
  TensorMap pt = pt_layout(tensors);
  if (fused) {
    pt = fuse(pt, {"q_proj", "k_proj", "v_proj"}, "qkv_proj");
    pt = fuse(pt, {"gate_proj", "up_proj"}, "up_gate_proj");
  }
  TensorMap out;
  for (const auto& [name, tensor] : pt) {
    std::string stored = name.starts_with("model.") ? "ernie." + name.substr(6) : name;
    if (vision_prefix && name.starts_with("vision_model.")) stored = "ernie." + name;
    const bool turn = tensor.shape.size() == 2 && name.ends_with(".weight") &&
                      !contains(name, ".gate.") && !contains(name, "embed_tokens") &&
                      !contains(name, "lm_head");
    out[stored] = turn ? transposed(tensor) : tensor;
    if (out[stored].type == "BF16") out[stored].type = "U16";
  }
  return out;
}

// What PaddleFormers saves of text models: names of -PT, matrices [in, out], gate and up fused, and
// q, k and v fused by KV head.
inline TensorMap paddleformers_layout(const TensorMap& tensors, const ModelConfig& config) {
  TensorMap out;
  for (auto& [name, tensor] : fuse(pt_layout(tensors), {"gate_proj", "up_proj"}, "up_gate_proj")) {
    const bool turn = tensor.shape.size() == 2 && name.ends_with(".weight") &&
                      !contains(name, ".gate.") && !contains(name, "embed_tokens") &&
                      !contains(name, "lm_head");
    if (contains(name, ".k_proj.") || contains(name, ".v_proj.")) continue;
    if (!contains(name, ".q_proj.")) {
      out[name] = turn ? transposed(tensor) : tensor;
      continue;
    }
    const int64_t d = config.head_dim, q = d * config.num_heads / config.num_kv_heads;
    NamedTensor fused{{0, tensor.shape[1]}, {}, tensor.type};
    for (int64_t g = 0; g < config.num_kv_heads; ++g) {
      const auto add = [&](const NamedTensor& part, int64_t rows) {
        const int64_t cols = part.shape[1];
        fused.values.insert(fused.values.end(), part.values.begin() + g * rows * cols,
                            part.values.begin() + (g + 1) * rows * cols);
        fused.shape[0] += rows;
      };
      add(tensor, q);
      add(tensors.at(replaced(name, "q_proj", "k_proj")), d);
      add(tensors.at(replaced(name, "q_proj", "v_proj")), d);
    }
    out[replaced(name, "q_proj", "qkv_proj")] = transposed(fused);
  }
  return out;
}

inline TensorMap hf_layout(const TensorMap& tensors) {
  TensorMap out;
  for (const auto& [name, tensor] : tensors) {
    std::string stored = name;
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"model.embed", "model.language_model.embed"},
             {"model.layers", "model.language_model.layers"},
             {"model.norm", "model.language_model.norm"},
             {"_linear.0.", "_linear.fc1."},
             {"_linear.2.", "_linear.fc2."},
             {"_linear.3.", "_linear.ln."},
             {".mlp.gate.weight_1", ".mlp.vision_moe.gate.weight"},
             {".mlp.gate.weight", ".mlp.text_moe.gate.weight"}}) {
      stored = replaced(stored, from, to);
    }
    if (name.starts_with("vision_model."))
      stored = replaced(name, "vision_model", "model.vision_tower");
    if (contains(name, "e_score_correction_bias")) {
      const bool vision = name.ends_with("_1");
      stored = "model.language_model.layers.1.mlp." + std::string(vision ? "vision" : "text") +
               "_moe.gate.moe_statics.e_score_correction_bias";
    }
    if (!contains(name, ".mlp.experts.")) out[stored] = tensor;
  }
  const auto add_stack = [&](const std::string& kind, int first) {
    const std::string expert = "model.layers.1.mlp.experts.";
    NamedTensor gate_up, down;
    for (int e = first; e < first + 4; ++e) {
      const std::string name = expert + std::to_string(e) + ".";
      const NamedTensor both =
          stacked(tensors.at(name + "gate_proj.weight"), tensors.at(name + "up_proj.weight"));
      gate_up = e == first ? both : stacked(gate_up, both);
      const NamedTensor& d = tensors.at(name + "down_proj.weight");
      down = e == first ? d : stacked(down, d);
    }
    const std::string stem = "model.language_model.layers.1.mlp." + kind + ".experts.";
    gate_up.shape = {4, gate_up.shape[0] / 4, gate_up.shape[1]};
    down.shape = {4, down.shape[0] / 4, down.shape[1]};
    out[stem + "gate_up_proj"] = gate_up;
    out[stem + "down_proj"] = down;
  };
  add_stack("text_moe", 0);
  add_stack("vision_moe", 4);
  return out;
}

}  // namespace ernie::model::testing
