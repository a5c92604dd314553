#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "model/quantization.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr WeightFormat kInt8{WeightType::kInt8};
constexpr WeightFormat kInt4Groups{WeightType::kInt4, 32};

boost::json::object config_json() {
  return boost::json::parse(R"({"model_type": "ernie4_5_moe_vl",
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 16,
    "intermediate_size": 128, "vocab_size": 50, "moe_num_experts": [4, 4], "moe_k": 2,
    "moe_intermediate_size": [64, 64], "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
    "freq_allocation": 2,
    "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 28},
    "quantization_config": {
      "quant_method": "compressed-tensors", "format": "pack-quantized",
      "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": null,
        "weights": {"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group",
                    "group_size": 32, "actorder": null, "dynamic": false}}},
      "ignore": ["lm_head", "re:.*mlp.gate$"]}})")
      .as_object();
}

Result<ModelConfig> parse(const boost::json::object& object) {
  return parse_config(boost::json::serialize(object), "config.json");
}

// Sets the value at a path below quantization_config.
boost::json::object with(const std::string& path, const std::string& value) {
  boost::json::object json = config_json();
  const size_t key = path.rfind('/');
  boost::json::value* holder = &json["quantization_config"];
  for (size_t at = 0; at < key;) {
    const size_t end = path.find('/', at + 1);
    holder = &holder->as_object()[path.substr(at + 1, end - at - 1)];
    if (holder->is_null()) *holder = boost::json::object();
    at = end;
  }
  holder->as_object()[path.substr(key + 1)] = boost::json::parse(value);
  return json;
}

const std::string kWeights = "/config_groups/group_0/weights";

TEST(QuantizationConfig, OneGroupForAllLinears) {
  const auto config = parse(config_json());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->quantization, (Quantization{kInt4Groups, kInt4Groups, kInt4Groups}));
}

TEST(QuantizationConfig, NamesAndPatternsChooseByBothKindsOfNames) {
  const auto of = [](const std::string& ignore) {
    const auto config = parse(with("/ignore", ignore));
    EXPECT_TRUE(config.ok()) << config.error().message;
    return config.ok() ? config->quantization : Quantization{};
  };
  EXPECT_EQ(of(R"(["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*layers\\.0\\.mlp\\..*"])"),
            (Quantization{{}, kInt4Groups, kInt4Groups}));
  EXPECT_EQ(of(R"(["re:model\\.language_model\\.layers\\.\\d+\\.mlp\\.vision_moe\\..*"])"),
            (Quantization{kInt4Groups, kInt4Groups, {}}));
  EXPECT_EQ(of(R"(["re:layers.*", "model.layers.0"])"),
            (Quantization{kInt4Groups, kInt4Groups, kInt4Groups}))
      << "names are matched from their beginning";
}

// Expressions of strangers cost no more than others, and end nothing.
TEST(QuantizationConfig, PatternsCostLinearTimeAndLittleMemory) {
  const auto config = parse(with("/ignore", R"(["re:(.*)*Q", "re:((m*)*)*Q", "re:(m+m+)+Q"])"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  for (const std::string& pattern :
       {std::string(20000, '(') + "a" + std::string(20000, ')'), std::string("(.)\\\\1"),
        std::string(257, 'a'), "." + std::string(60, '+'), std::string("((((((a+)+)+)+)+)+)+"),
        std::string("((a{200}){200}){200}")}) {
    EXPECT_FALSE(parse(with("/ignore", "[\"re:" + pattern + "\"]")).ok());
  }
}

TEST(QuantizationConfig, GroupsOfTheirOwnForExperts) {
  boost::json::object json = with("/config_groups/group_1", R"({"targets": ["Linear"],
      "weights": {"num_bits": 8, "strategy": "channel", "actorder": "static"}})");
  json["quantization_config"].at("config_groups").at("group_0").at("targets") = {
      "re:.*mlp\\.experts\\.[0-9]+\\..*"};
  const auto config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->quantization, (Quantization{kInt8, kInt4Groups, kInt4Groups}));
}

TEST(QuantizationConfig, OneKindOfMatrixHasOneFormat) {
  const auto config = parse(with("/ignore", R"(["model.layers.2.mlp.experts.4.up_proj"])"));
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message,
              AllOf(HasSubstr("the vision experts"), HasSubstr("int4 in groups of 32"),
                    HasSubstr("model.layers.1.mlp.experts.4.gate_proj"), HasSubstr("not quantised"),
                    HasSubstr("model.layers.2.mlp.experts.4.up_proj")));
}

struct Refusal {
  std::string path;  // below quantization_config
  std::string value;
  std::string expected;
};

class QuantizationConfigRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(QuantizationConfigRefusal, NamesKeyExpectedAndFound) {
  const auto& [path, value, expected] = GetParam();
  const auto config = parse(with(path, value));
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message,
              AllOf(HasSubstr("config.json: quantization_config."),
                    HasSubstr(path.substr(path.rfind('/') + 1) + ": expected "),
                    HasSubstr(expected), HasSubstr("found " + value)));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, QuantizationConfigRefusal,
    ::testing::Values(Refusal{"/quant_method", "\"gptq\"", "--quantization wint4"},
                      Refusal{"/quant_method", "\"awq\"", "llm-compressor"},
                      Refusal{"/quant_method", "\"fp8\"", "\"compressed-tensors\""},
                      Refusal{"/format", "\"marlin-24\"", "\"pack-quantized\""},
                      Refusal{"/quantization_status", "\"frozen\"", "\"compressed\""},
                      Refusal{"/kv_cache_scheme", "{\"num_bits\":8}", "null"},
                      Refusal{"/kv_cache_quant_type", "\"int8\"", "--kv-cache-dtype"},
                      Refusal{"/sparsity_config/format", "\"2:4\"", "\"dense\""},
                      Refusal{"/transform_config", "{\"a\":1}", "rotated"},
                      Refusal{"/config_groups", "{}", "targets"},
                      Refusal{"/config_groups", "null", "an object"},
                      Refusal{"/config_groups/group_0/format", "\"int-quantized\"", "pack"},
                      Refusal{"/config_groups/group_0/targets", "[\"re:(\"]", "regular"},
                      Refusal{"/config_groups/group_0/input_activations", "{}", "only weights"},
                      Refusal{kWeights + "/num_bits", "3", "4 or 8"},
                      Refusal{kWeights + "/type", "\"float\"", "\"int\""},
                      Refusal{kWeights + "/symmetric", "false", "zero points"},
                      Refusal{kWeights + "/dynamic", "true", "false"},
                      Refusal{kWeights + "/actorder", "\"group\"", "order of activations"},
                      Refusal{kWeights + "/strategy", "\"tensor\"", "\"channel\" or \"group\""},
                      Refusal{kWeights + "/group_size", "16", "32, 64 or 128"}));

}  // namespace
}  // namespace ernie::model
