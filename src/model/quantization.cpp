#include "model/quantization.h"

#include "base/ascii.h"

namespace ernie::model {
Result<std::optional<WeightFormat>> parse_weight_format(const std::string& text) {
  const std::string name = lowercase(text);
  using Format = std::optional<WeightFormat>;
  if (name == "bf16" || name == "bfloat16") return Format{};
  if (name == "wint8") return Format{{WeightType::kInt8}};
  if (name == "wint4") return Format{{WeightType::kInt4}};
  for (const int group : {32, 64, 128}) {
    if (name == "wint4-g" + std::to_string(group)) return Format{{WeightType::kInt4, group}};
  }
  return invalid_argument("is " + text +
                          "; it must be bf16, wint8, wint4, wint4-g32, wint4-g64 or wint4-g128");
}

std::string weight_format_name(const std::optional<WeightFormat>& format) {
  if (!format) return "bf16";
  const std::string name = format->type == WeightType::kInt8 ? "wint8" : "wint4";
  return format->group == 0 ? name : name + "-g" + std::to_string(format->group);
}

Result<Quantization> parse_quantization(const std::string& name) {
  const auto experts = parse_weight_format(name);
  if (!experts) return experts.error();
  if (!*experts) return Quantization{};
  return Quantization{.dense = WeightFormat{WeightType::kInt8},
                      .text_experts = *experts,
                      .vision_experts = *experts};
}

std::string describe(const Quantization& quantization, DType activation) {
  const auto name = [&](const std::optional<WeightFormat>& format) {
    return to_string(format.value_or(unquantized(activation)));
  };
  if (!quantization.any()) return dtype_name(activation);
  if (quantization.dense == quantization.text_experts &&
      quantization.dense == quantization.vision_experts) {
    return name(quantization.dense);
  }
  std::string text = name(quantization.text_experts) + " experts, ";
  if (quantization.vision_experts != quantization.text_experts) {
    text += name(quantization.vision_experts) + " vision experts, ";
  }
  return text + name(quantization.dense) + " elsewhere";
}

Result<Quantization> resolve_quantization(const ModelConfig& config,
                                          const std::optional<Quantization>& wanted) {
  const Quantization& stored = config.quantization;
  if (!wanted || *wanted == stored) return stored;
  if (!stored.any()) return *wanted;
  return invalid_argument("--quantization: expected " + describe(stored, DType::kBF16) +
                              ", as the checkpoint is stored, found " +
                              describe(*wanted, DType::kBF16) +
                              "; leave the flag out or give --model the bfloat16 checkpoint",
                          "quantization");
}

Status check_quantization(const ModelConfig& config, const Quantization& quantization,
                          int tensor_parallel_size) {
  const auto check = [&](const std::optional<WeightFormat>& format, const char* matrix,
                         int64_t width) -> Status {
    const int64_t part = width / tensor_parallel_size;
    if (!format || format->group == 0 || tensor_parallel_size == 1 || part % format->group == 0) {
      return {};
    }
    return invalid_argument(to_string(*format) + " cuts the " + std::to_string(part) +
                            " inputs that each of " + std::to_string(tensor_parallel_size) +
                            " ranks has of " + matrix + " (" + std::to_string(width) +
                            " in all) inside a group; use smaller groups or fewer ranks");
  };
  Status status = check(quantization.dense, "the attention output",
                        int64_t{config.num_heads} * config.head_dim);
  if (status) status = check(quantization.dense, "the dense MLP", config.intermediate_size);
  if (!config.moe || !status) return status;
  const ExpertGroup& text = config.moe->text;
  status = check(quantization.text_experts, "an expert", text.intermediate_size);
  if (status) {
    status =
        check(quantization.vision_experts, "a vision expert", config.moe->vision.intermediate_size);
  }
  if (status) {
    status = check(quantization.dense, "the shared experts",
                   int64_t{config.moe->num_shared_experts} * text.intermediate_size);
  }
  return status;
}

}  // namespace ernie::model
