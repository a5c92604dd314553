#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "model/model.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

boost::json::object flat_vision() {
  return boost::json::parse(R"({
    "architectures": ["Ernie4_5_VLMoeForConditionalGeneration"], "model_type": "ernie4_5_moe_vl",
    "hidden_size": 2560, "num_hidden_layers": 28, "num_attention_heads": 20,
    "num_key_value_heads": 4, "intermediate_size": 12288, "vocab_size": 103424,
    "moe_num_experts": [64, 64], "moe_k": 6, "moe_intermediate_size": [1536, 512],
    "moe_num_shared_experts": 2, "moe_layer_start_index": [1, 1], "moe_layer_end_index": [29, 28],
    "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 1280, "num_heads": 16,
                      "mlp_ratio": 4, "patch_size": 14, "spatial_merge_size": 2}})")
      .as_object();
}

boost::json::object nested_vision() {
  return boost::json::parse(R"({
    "model_type": "ernie4_5_vl_moe", "image_token_id": 700, "tie_word_embeddings": false,
    "text_config": {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3,
      "num_key_value_heads": 1, "head_dim": 64, "intermediate_size": 128, "vocab_size": 736,
      "moe_num_experts": 12, "moe_k": 4, "moe_intermediate_size": [32, 16],
      "moe_num_shared_experts": 0, "mlp_layer_types": ["dense", "dense", "sparse", "sparse"],
      "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                          "mrope_section": [11, 11, 10]}},
    "vision_config": {"depth": 2, "hidden_size": 80, "num_heads": 2, "intermediate_size": 192}})")
      .as_object();
}

Result<ModelConfig> parse(const boost::json::object& object) {
  return parse_config(boost::json::serialize(object), "config.json");
}

TEST(Config, FlatFileGetsThePublishedDefaults) {
  const auto config = parse(flat_vision());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->head_dim, 128);
  EXPECT_EQ(config->rope_theta, 500000.0f);
  EXPECT_EQ(config->rope_t_pairs, 20);
  EXPECT_EQ(config->norm_eps, 1e-5f);
  EXPECT_EQ(config->max_position_embeddings, 131072);
  EXPECT_EQ(config->image_token_id, -1);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_EQ(config->moe->first_layer, 1);
  EXPECT_EQ(config->moe->last_layer, 27);
  EXPECT_EQ(config->moe->vision.intermediate_size, 512);
  EXPECT_EQ(config->moe->norm_min, 1e-12f);
  EXPECT_TRUE(config->moe->correction_bias);
  EXPECT_EQ(config->vision->intermediate_size, 5120);
  EXPECT_EQ(config->vision->norm_eps, 1e-6f);
  EXPECT_EQ(count_parameters(*config), 29'399'294'336);
}

TEST(Config, IndicesMayBeScalarAbsentOrMinusOne) {
  auto json = flat_vision();
  json["moe_layer_start_index"] = 3;
  json["moe_layer_end_index"] = -1;
  json.erase("moe_num_shared_experts");
  auto config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_FALSE(config->is_moe_layer(2));
  EXPECT_TRUE(config->is_moe_layer(3));
  EXPECT_TRUE(config->is_moe_layer(27));
  EXPECT_EQ(config->moe->num_shared_experts, 0);
  json["moe_layer_end_index"] = 20;
  EXPECT_FALSE(parse(json)->is_moe_layer(21));
  json.erase("moe_layer_end_index");
  EXPECT_TRUE(parse(json)->is_moe_layer(27));
}

TEST(Config, NestedFileOfTransformers) {
  const auto config = parse(nested_vision());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->rope_t_pairs, 10);
  EXPECT_EQ(config->rope_theta, 10000.0f);
  EXPECT_EQ(config->image_token_id, 700);
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_EQ(config->moe->first_layer, 2);
  EXPECT_EQ(config->moe->last_layer, 3);
  EXPECT_EQ(config->moe->vision.num_experts, 12);
  EXPECT_EQ(config->vision->intermediate_size, 192);
}

TEST(Config, RotarySectionMayLiveInRopeScaling) {
  auto json = flat_vision();
  json["rope_scaling"] = {{"type", "default"}, {"mrope_section", {24, 24, 16}}};
  EXPECT_EQ(parse(json)->rope_t_pairs, 16);
}

TEST(Config, FormsOfOtherTools) {
  auto json = flat_vision();
  json["quantization_config"] = boost::json::object();
  json["torch_dtype"] = "paddle.float32";
  json["source"] = "paddle";
  const auto config = parse_config("\xEF\xBB\xBF" + boost::json::serialize(json), "config.json");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_FALSE(config->quantization.any());
  EXPECT_EQ(config->dtype, "float32");
  EXPECT_TRUE(config->saved_by_paddle);
  json["dtype"] = "torch.bfloat16";
  json.erase("source");
  EXPECT_EQ(parse(json)->dtype, "bfloat16");
  EXPECT_FALSE(parse(json)->saved_by_paddle);
}

TEST(Config, TextModels) {
  const auto dense = parse_config(
      R"({"model_type": "ernie4_5", "hidden_size": 1024, "num_hidden_layers": 18,
          "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 128,
          "intermediate_size": 3072, "vocab_size": 103424})",
      "config.json");
  ASSERT_TRUE(dense.ok()) << dense.error().message;
  EXPECT_FALSE(dense->moe.has_value());
  EXPECT_FALSE(dense->vision.has_value());
  EXPECT_EQ(count_parameters(*dense), count_parameters(*builtin_config("ERNIE-4.5-0.3B")));

  const auto moe = parse_config(
      R"({"model_type": "ernie4_5_moe", "hidden_size": 2560, "num_hidden_layers": 28,
          "num_attention_heads": 20, "num_key_value_heads": 4, "intermediate_size": 12288,
          "vocab_size": 103424, "moe_num_experts": 64, "moe_k": 6, "moe_intermediate_size": 1536,
          "moe_num_shared_experts": 2, "moe_layer_start_index": 1})",
      "config.json");
  ASSERT_TRUE(moe.ok()) << moe.error().message;
  EXPECT_EQ(moe->moe->vision.num_experts, 0);
  EXPECT_EQ(count_parameters(*moe), count_parameters(*builtin_config("ERNIE-4.5-21B-A3B")));
}

struct Refusal {
  const char* key;
  const char* value;  // JSON; empty removes the key
  const char* said;   // part of the message, besides file and key
};

class ConfigRefusal : public ::testing::TestWithParam<Refusal> {};

// A78
TEST_P(ConfigRefusal, NamesFileKeyAndExpectation) {
  const Refusal& refusal = GetParam();
  auto json = flat_vision();
  const std::string key = refusal.key;
  const std::string vision = "vision_config.";
  auto& object = key.starts_with(vision) ? json["vision_config"].as_object() : json;
  const std::string name = key.starts_with(vision) ? key.substr(vision.size()) : key;
  if (std::string(refusal.value).empty()) {
    object.erase(name);
  } else {
    object[name] = boost::json::parse(refusal.value);
  }
  const auto config = parse(json);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message,
              AllOf(HasSubstr("config.json: " + key), HasSubstr(refusal.said)));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, ConfigRefusal,
    ::testing::Values(
        Refusal{"hidden_size", "", "no such key"}, Refusal{"hidden_size", "\"2560\"", "\"2560\""},
        Refusal{"hidden_size", "0", "found 0"}, Refusal{"hidden_size", "-5", "found -5"},
        Refusal{"hidden_size", "1e300", "whole number"},
        Refusal{"hidden_size", "18446744073709551615", "18446744073709551615"},
        Refusal{"hidden_size", "2560.5", "whole number"},
        Refusal{"num_attention_heads", "24", "divisor of hidden_size"},
        Refusal{"num_hidden_layers", "0", "from 1"},
        Refusal{"num_hidden_layers", "1000000000", "from 1 to 1000"},
        Refusal{"num_key_value_heads", "3", "divisor of num_attention_heads"},
        Refusal{"head_dim", "127", "even"}, Refusal{"rope_theta", "-1", "number"},
        Refusal{"rope_theta", "\"big\"", "number"}, Refusal{"rms_norm_eps", "0", "number"},
        Refusal{"vocab_size", "[1]", "whole number"}, Refusal{"hidden_act", "\"gelu\"", "silu"},
        Refusal{"use_bias", "true", "false"}, Refusal{"moe_k", "65", "from 1 to 64"},
        Refusal{"moe_k", "", "no such key"}, Refusal{"moe_group_experts", "true", "expected false"},
        Refusal{"moe_gate_act", "\"sigmoid\"", "softmax"},
        Refusal{"scoring_func", "\"sigmoid\"", "softmax"},
        Refusal{"moe_layer_start_index", "[1, 3]", "text and vision"},
        Refusal{"moe_layer_start_index", "28", "0 to 27"},
        Refusal{"moe_layer_end_index", "\"x\"", "list"},
        Refusal{"moe_intermediate_size", "", "width"},
        Refusal{"mlp_layer_types", "[\"dense\"]", "28 layers"},
        Refusal{"freq_allocation", "65", "from 0 to 64"},
        Refusal{"model_type", "\"llama\"", "ernie4_5_moe_vl"},
        Refusal{"tie_word_embeddings", "1", "true or false"},
        Refusal{"torch_dtype", "\"int8\"", "bfloat16"}, Refusal{"im_patch_id", "103424", "103423"},
        Refusal{"quantization_config", "{\"bits\": 4}", "quant_method"},
        Refusal{"quantization_config", "4", "an object"},
        Refusal{"moe_norm_gate_logits", "false",
                "expected true (nothing else is implemented), found"},
        Refusal{"compression_ratio", "2.0", "expected 1 "}, Refusal{"rope_3d", "false", "true"},
        Refusal{"moe_use_hard_gate", "false", "true"}, Refusal{"moe_gate", "\"sinkhorn\"", "topk"},
        Refusal{"moe_use_token_type_bias", "true", "false"}, Refusal{"mm_vocab_size", "8", "0"},
        Refusal{"moe_num_dense_experts", "1", "0"}, Refusal{"use_rmsnorm", "false", "true"},
        Refusal{"n_group", "8", "0 or 1"}, Refusal{"scaling_factor", "2.5", "1"},
        Refusal{"scale_qk_coeff", "2", "1"}, Refusal{"use_rmsnorm", "1", "true"},
        Refusal{"use_temporal_conv", "false", "true"}, Refusal{"spatial_conv_size", "3", "2"},
        Refusal{"pixel_hidden_size", "1024", "1280"},
        Refusal{"vision_config.depth", "", "no such key"},
        Refusal{"vision_config.num_heads", "7", "divisor"},
        Refusal{"vision_config.spatial_merge_size", "4", "2"},
        Refusal{"vision_config.hidden_act", "\"gelu\"", "quick_gelu"},
        Refusal{"vision_config.hidden_size", "1024", "1280"},
        Refusal{"vision_config.variable_resolution", "false", "true"},
        Refusal{"vision_config.in_channels", "4", "3"}));

TEST(Config, TheImplementedValuesOfFixedSettingsAndNullAreAccepted) {
  auto json = flat_vision();
  const auto accepted = boost::json::parse(R"({
    "hidden_act": "swiglu", "use_rmsnorm": true, "scale_qk_coeff": 1.0, "compression_ratio": 1.0,
    "rope_3d": true, "moe_use_hard_gate": true, "moe_norm_gate_logits": true, "moe_gate": "topk",
    "moe_gate_act": null, "moe_use_token_type_bias": null, "mm_vocab_size": 0, "n_group": 0,
    "scaling_factor": null, "use_temporal_conv": true, "moe_group_experts": false,
    "moe_capacity": [128, 128, 128], "num_nextn_predict_layers": 1, "hidden_dropout_prob": 0.1})");
  for (const auto& [key, value] : accepted.as_object()) json[key] = value;
  const auto config = parse(json);
  EXPECT_TRUE(config.ok()) << config.error().message;
}

TEST(Config, FixedSettingsAreRefusedWhereverTheFileKeepsThem) {
  const auto refused = [](const boost::json::object& json, const std::string& expected) {
    const auto config = parse(json);
    ASSERT_FALSE(config.ok()) << expected;
    EXPECT_THAT(config.error().message, HasSubstr(expected));
  };
  auto nested = nested_vision();
  nested["moe_norm_gate_logits"] = false;
  refused(nested, "config.json: moe_norm_gate_logits: expected true");
  nested = nested_vision();
  nested["text_config"].as_object()["rope_3d"] = false;
  refused(nested, "config.json: text_config.rope_3d: expected true");
  nested = nested_vision();
  nested["text_config"].at("rope_parameters").as_object()["partial_rotary_factor"] = 0.5;
  refused(nested, "text_config.rope_parameters.partial_rotary_factor: expected 1");
  auto flat = flat_vision();
  flat["rope_scaling"] = {{"type", "yarn"}};
  refused(flat, "config.json: rope_scaling.type: expected \"default\" or \"mrope\"");
}

// Text models have one kind of experts and one axis of positions, whatever these keys say.
TEST(Config, TextModelsMayTurnOffWhatOnlyPicturesNeed) {
  const std::string text =
      R"({"model_type": "ernie4_5_moe", "hidden_size": 64, "num_hidden_layers": 2,
          "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50,
          "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32,
          "rope_3d": false, "moe_use_hard_gate": false)";
  EXPECT_TRUE(parse_config(text + "}", "config.json").ok());
  EXPECT_FALSE(parse_config(text + R"(, "moe_norm_gate_logits": false})", "config.json").ok());
  EXPECT_FALSE(parse_config(text + R"(, "compression_ratio": 2})", "config.json").ok());
}

// A78
TEST(Config, FilesThatAreNoJsonObject) {
  for (const char* text : {"", "[]", "3", "{\"a\": 1", "{\"hidden_size\": NaN}", "{} {}", "\xff"}) {
    const auto config = parse_config(text, "dir/config.json");
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_THAT(config.error().message, HasSubstr("dir/config.json")) << text;
  }
  EXPECT_THAT(parse_config("{\n\"rope_theta\": NaN}", "c.json").error().message,
              AllOf(HasSubstr("line 2"), HasSubstr("rope_theta")));
  EXPECT_THAT(load_config("/no/such/folder").error().message, HasSubstr("/no/such/folder"));
}

}  // namespace
}  // namespace ernie::model
