// Checkpoints that are quantised already in compressed-tensors' pack-quantized form.

#include "model/compressed_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "model/testing/tiny_folder.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::NamedTensor;
using testing::safetensors_bytes;
using testing::TempFolder;
using testing::TensorMap;
using testing::wide_config_json;

std::unique_ptr<ops::Backend> make_backend() { return cpu::make_cpu_backend({.threads = 1}); }

std::vector<float> folder_logits(const std::string& folder, int ranks = 1,
                                 const std::optional<Quantization>& quantization = {}) {
  return testing::folder_logits(folder, make_backend, ranks, quantization, DType::kF32);
}

TensorMap wide_pt_tensors() {
  return testing::tiny_pt_tensors(testing::wide_config(), *make_backend());
}

constexpr WeightFormat kInt8{WeightType::kInt8};
constexpr WeightFormat kInt4{WeightType::kInt4};
constexpr WeightFormat kInt4Groups{WeightType::kInt4, 32};

bool is_decoder_linear(const std::string& name) {
  return name.starts_with("model.layers.") && name.ends_with("_proj.weight");
}

// A matrix in both forms: quantised, and the values that it stands for.
struct BothForms {
  NamedTensor packed, scale, shape;
  NamedTensor values;
};

std::string half_bytes(const std::vector<float>& powers_of_two) {
  std::string out;
  for (const float v : powers_of_two) {
    const auto bits = static_cast<uint16_t>((static_cast<int>(std::log2(v)) + 15) << 10);
    out.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
  }
  return out;
}

// Every q that the bits can hold occurs, the lowest too.
BothForms make_quantized(const std::vector<int64_t>& shape, WeightFormat format,
                         const std::string& scale_type, uint32_t seed) {
  const int bits = format.type == WeightType::kInt4 ? 4 : 8;
  const int64_t rows = shape[0], cols = shape[1], in_word = 32 / bits;
  const int64_t words = (cols + in_word - 1) / in_word;
  const int64_t group = format.group == 0 ? cols : format.group;
  const int64_t groups = (cols + group - 1) / group;
  const auto next = [&] { return (seed = seed * 1664525 + 1013904223) >> 16; };
  BothForms out;
  out.values = {shape, {}, "F32"};
  out.scale = {{rows, groups}, {}, scale_type};
  for (int64_t i = 0; i < rows * groups; ++i) {
    out.scale.values.push_back(
        std::ldexp(1.0f, -5 - static_cast<int>(next() % 3) - (bits == 8 ? 4 : 0)));
  }
  std::vector<uint32_t> packed(static_cast<size_t>(rows * words));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const uint32_t q = next() % (1u << bits);
      packed[r * words + c / in_word] |= q << (c % in_word * bits);
      out.values.values.push_back((static_cast<float>(q) - static_cast<float>(1 << (bits - 1))) *
                                  out.scale.values[r * groups + c / group]);
    }
  }
  if (scale_type == "F16") {
    out.scale.raw = half_bytes(out.scale.values);
    out.scale.values.clear();
  }
  out.packed = {{rows, words}, {}, "I32", {}};
  out.packed.raw.assign(reinterpret_cast<const char*>(packed.data()), packed.size() * 4);
  const int64_t sizes[] = {rows, cols};
  out.shape = {{2}, {}, "I64", {}};
  out.shape.raw.assign(reinterpret_cast<const char*>(sizes), sizeof(sizes));
  return out;
}

struct Formats {
  WeightFormat dense, experts;
};

// Tensors of a checkpoint with quantised matrices, and of one with their values.
struct Tensors {
  TensorMap quantized, values;
};

Tensors make_tensors(const Formats& formats, const std::string& scale_type = "BF16") {
  Tensors out;
  uint32_t seed = 1;
  for (const auto& [name, tensor] : testing::pt_layout(wide_pt_tensors())) {
    if (!is_decoder_linear(name)) {
      out.quantized[name] = out.values[name] = tensor;
      continue;
    }
    const bool expert = name.find(".mlp.experts.") != std::string::npos;
    BothForms forms =
        make_quantized(tensor.shape, expert ? formats.experts : formats.dense, scale_type, ++seed);
    out.quantized[packed_name(name)] = forms.packed;
    out.quantized[scale_name(name)] = forms.scale;
    out.quantized[shape_name(name)] = forms.shape;
    out.values[name] = forms.values;
  }
  return out;
}

std::string weights_json(WeightFormat format) {
  return "{\"num_bits\": " + std::string(format.type == WeightType::kInt4 ? "4" : "8") +
         ", \"type\": \"int\", \"symmetric\": true, \"strategy\": " +
         (format.group == 0 ? "\"channel\", \"group_size\": null"
                            : "\"group\", \"group_size\": " + std::to_string(format.group)) +
         ", \"actorder\": null, \"dynamic\": false}";
}

std::string config_json(const Formats& formats) {
  return wide_config_json(R"(, "quantization_config": {"quant_method": "compressed-tensors",
      "format": "pack-quantized", "quantization_status": "compressed", "kv_cache_scheme": null,
      "config_groups": {
        "group_0": {"targets": ["re:.*mlp\\.experts\\..*"], "input_activations": null,
                    "weights": )" +
                          weights_json(formats.experts) + R"(},
        "group_1": {"targets": ["Linear"], "weights": )" +
                          weights_json(formats.dense) + R"(}},
      "ignore": ["lm_head", "re:.*mlp\\.gate$", "re:.*(vision|resampler)_model.*"]})");
}

void write_folder(const TempFolder& folder, const std::string& config, const TensorMap& tensors,
                  bool odd_header = false) {
  folder.write("config.json", config);
  folder.write("model.safetensors", safetensors_bytes(tensors, odd_header));
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4 * (1 + std::abs(b[i]))) << i;
}

struct Case {
  Formats formats;
  int ranks;
  std::string scale_type = "BF16";
  bool odd_header = false;
};

class PackQuantized : public ::testing::TestWithParam<Case> {};

TEST_P(PackQuantized, GivesTheLogitsOfTheValues) {
  const Case& c = GetParam();
  const Tensors tensors = make_tensors(c.formats, c.scale_type);
  TempFolder quantized, values;
  write_folder(quantized, config_json(c.formats), tensors.quantized, c.odd_header);
  write_folder(values, wide_config_json(), tensors.values);
  const std::vector<float> expected = folder_logits(values.path());
  expect_near(folder_logits(quantized.path(), c.ranks), expected);
  const Quantization same{c.formats.dense, c.formats.experts, c.formats.experts};
  expect_near(folder_logits(quantized.path(), c.ranks, same), expected);
}

INSTANTIATE_TEST_SUITE_P(
    FormatsAndRanks, PackQuantized,
    ::testing::Values(Case{{kInt4, kInt4}, 1}, Case{{kInt4, kInt4}, 2}, Case{{kInt8, kInt8}, 1},
                      Case{{kInt8, kInt8}, 2}, Case{{kInt8, kInt4}, 2},
                      Case{{kInt4Groups, kInt4Groups}, 1}, Case{{kInt4Groups, kInt4Groups}, 2},
                      Case{{{WeightType::kInt8, 32}, kInt4Groups}, 2},
                      Case{{{WeightType::kInt4, 64}, {WeightType::kInt4, 64}}, 1},
                      Case{{{WeightType::kInt4, 128}, {WeightType::kInt8, 128}}, 1},
                      Case{{kInt8, kInt4Groups}, 2, "F32"}, Case{{kInt8, kInt4Groups}, 2, "F16"},
                      Case{{kInt8, kInt4Groups}, 2, "BF16", true}));

TEST(PackQuantized, ModulesThatAreIgnoredKeepTheirWeights) {
  const Formats formats{kInt8, kInt4Groups};
  const Tensors tensors = make_tensors(formats);
  TensorMap only_experts = tensors.values;
  for (const auto& [name, tensor] : tensors.quantized) {
    if (!testing::contains(name, ".mlp.experts.")) continue;
    only_experts[name] = tensor;
    if (name.ends_with("_packed")) only_experts.erase(testing::replaced(name, "_packed", ""));
  }
  const std::string config = testing::replaced(
      config_json(formats), "\"lm_head\"",
      R"("lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*layers\\.0\\..*")");
  TempFolder quantized, values;
  write_folder(quantized, config, only_experts);
  write_folder(values, wide_config_json(), tensors.values);
  expect_near(folder_logits(quantized.path(), 2), folder_logits(values.path()));
}

TEST(PackQuantized, ExpertsOfTransformersModelsStandAlone) {
  const Tensors tensors = make_tensors({kInt8, kInt4Groups});
  TempFolder original, renamed;
  write_folder(original, config_json({kInt8, kInt4Groups}), tensors.quantized);
  TensorMap out;
  for (const auto& [name, tensor] : tensors.quantized) {
    std::string stored = testing::replaced(name, "model.layers", "model.language_model.layers");
    for (int e = 0; e < 8; ++e) {
      stored = testing::replaced(stored, ".mlp.experts." + std::to_string(e) + ".",
                                 std::string(e < 4 ? ".mlp.text_moe" : ".mlp.vision_moe") +
                                     ".experts." + std::to_string(e % 4) + ".");
    }
    stored = testing::replaced(stored, ".mlp.gate.weight_1", ".mlp.vision_moe.gate.weight");
    stored = testing::replaced(stored, ".mlp.gate.weight", ".mlp.text_moe.gate.weight");
    out[stored] = tensor;
    if (testing::contains(name, ".mlp.gate.")) out[stored] = testing::transposed(tensor);
    if (testing::contains(name, "e_score_correction_bias")) {
      out.erase(stored);
      const std::string layer = "model.language_model.layers.1.mlp.";
      NamedTensor text{{4}, {tensor.values.begin(), tensor.values.begin() + 4}, "F32"};
      NamedTensor vision{{4}, {tensor.values.begin() + 4, tensor.values.end()}, "F32"};
      out[layer + "text_moe.gate.moe_statics.e_score_correction_bias"] = text;
      out[layer + "vision_moe.gate.moe_statics.e_score_correction_bias"] = vision;
    }
  }
  write_folder(renamed, config_json({kInt8, kInt4Groups}), out);
  EXPECT_EQ(folder_logits(renamed.path(), 2), folder_logits(original.path(), 2));
}

std::string error_of(const std::string& config, const TensorMap& tensors, int ranks = 1,
                     const std::optional<Quantization>& quantization = {}) {
  TempFolder folder;
  write_folder(folder, config, tensors);
  try {
    folder_logits(folder.path(), ranks, quantization);
  } catch (const StartError& error) {
    return error.what();
  }
  return "no error";
}

TEST(PackQuantizedRefusal, AFlagThatContradicts) {
  const Formats formats{kInt8, kInt4};
  EXPECT_THAT(error_of(config_json(formats), make_tensors(formats).quantized, 1,
                       *parse_quantization("wint4-g32")),
              AllOf(HasSubstr("--quantization"), HasSubstr("int4 experts, int8 elsewhere"),
                    HasSubstr("int4 in groups of 32 experts, int8 elsewhere")));
}

TEST(PackQuantizedRefusal, RanksThatCutWordsOrGroups) {
  const Formats groups{{WeightType::kInt4, 64}, {WeightType::kInt4, 64}};
  EXPECT_THAT(error_of(config_json(groups), make_tensors(groups).quantized, 2),
              AllOf(HasSubstr("groups of 64"), HasSubstr("fewer ranks")));
  QuantizedSlices slices;
  const BothForms forms = make_quantized({3, 24}, kInt4, "BF16", 1);
  TempFolder folder;
  folder.write("x.safetensors", safetensors_bytes({{"x.weight_packed", forms.packed},
                                                   {"x.weight_scale", forms.scale},
                                                   {"x.weight_shape", forms.shape}}));
  const SafetensorsFile file(folder.path() + "/x.safetensors");
  const auto find = [&](const std::string& name) -> const StoredTensor* {
    for (const StoredTensor& tensor : file.tensors()) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  };
  const auto tensor = find_quantized(find, "x.weight", 3, 24);
  ASSERT_TRUE(tensor.has_value());
  EXPECT_EQ(slices.take(*tensor, {0, 3, 8, 16}).in_features, 16);
  try {
    slices.take(*tensor, {0, 3, 12, 12});
    ADD_FAILURE() << "a word was cut";
  } catch (const StartError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("x.weight_packed"), HasSubstr("multiple of 8"),
                                    HasSubstr("cut at 12"), HasSubstr("fewer ranks")));
  }
}

TEST(PackQuantizedRefusal, WhatIsStoredMustBeWhatTheConfigurationSays) {
  const Formats formats{kInt8, kInt4};
  const Tensors tensors = make_tensors(formats);
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  const std::string down = "model.layers.1.mlp.experts.5.down_proj.weight";
  EXPECT_THAT(error_of(wide_config_json(), tensors.quantized),
              AllOf(HasSubstr("float32"), HasSubstr("stored in int8"), HasSubstr(q)));
  EXPECT_THAT(error_of(config_json({kInt8, kInt4Groups}), tensors.quantized),
              AllOf(HasSubstr("int4 in groups of 32"), HasSubstr("stored in int4")));
  EXPECT_THAT(error_of(config_json(formats), tensors.values), HasSubstr("not quantised"));

  const auto unpacked = [&](const std::string& name) {
    TensorMap some = tensors.quantized;
    for (const std::string& part : {packed_name(name), scale_name(name), shape_name(name)}) {
      some.erase(part);
    }
    some[name] = tensors.values.at(name);
    return some;
  };
  EXPECT_THAT(error_of(config_json(formats), unpacked(down)),
              AllOf(HasSubstr(down), HasSubstr("int4"), HasSubstr("not quantised")));
  EXPECT_THAT(
      error_of(config_json(formats), unpacked(q)),
      AllOf(HasSubstr(q), HasSubstr("k_proj"), HasSubstr("int8"), HasSubstr("not quantised")));
}

TEST(PackQuantizedRefusal, TensorsThatDoNotFitTogether) {
  const Formats formats{kInt8, kInt4};
  const Tensors tensors = make_tensors(formats);
  const std::string config = config_json(formats);
  const std::string o = "model.layers.0.self_attn.o_proj.weight";
  const auto with = [&](const std::string& name, const NamedTensor& tensor) {
    TensorMap some = tensors.quantized;
    some[name] = tensor;
    return some;
  };
  TensorMap some = tensors.quantized;
  some.erase(scale_name(o));
  EXPECT_THAT(error_of(config, some), HasSubstr(scale_name(o)));
  some = tensors.quantized;
  some.erase(shape_name(o));
  EXPECT_THAT(error_of(config, some), HasSubstr(shape_name(o)));
  NamedTensor shape = tensors.quantized.at(shape_name(o));
  shape.raw[0] = 63;
  EXPECT_THAT(error_of(config, with(shape_name(o), shape)),
              AllOf(HasSubstr(shape_name(o)), HasSubstr("[64, 64]"), HasSubstr("[63, 64]")));
  NamedTensor words = tensors.quantized.at(packed_name(o));
  words.shape = {words.shape[1], words.shape[0]};
  EXPECT_THAT(error_of(config, with(packed_name(o), words)),
              AllOf(HasSubstr(packed_name(o)), HasSubstr("[64, 16]"), HasSubstr("[16, 64]")));
  EXPECT_THAT(error_of(config, with(scale_name(o), {{64, 3}, std::vector<float>(192, 1.0f)})),
              AllOf(HasSubstr(scale_name(o)), HasSubstr("[64, 3]")));
  for (const float scale : {std::nanf(""), HUGE_VALF}) {
    std::vector<float> scales(64, 1.0f);
    scales[63] = scale;
    EXPECT_THAT(error_of(config, with(scale_name(o), {{64, 1}, scales})),
                AllOf(HasSubstr(scale_name(o)), HasSubstr("finite"),
                      HasSubstr("found " + std::to_string(scale))));
  }
  EXPECT_THAT(error_of(config, with(o, tensors.values.at(o))), HasSubstr("\"" + o + "\""))
      << "in both forms";
  for (const char* suffix : {"weight_g_idx", "weight_zero_point", "qweight"}) {
    const std::string name = testing::replaced(o, "weight", suffix);
    EXPECT_THAT(error_of(config, with(name, {{1}, {1}})),
                AllOf(HasSubstr(name), HasSubstr("llm-compressor")));
  }
}

TEST(PackQuantizedRefusal, MatricesThatAreNeverQuantised) {
  const Formats formats{kInt8, kInt4};
  TensorMap tensors = make_tensors(formats).quantized;
  const std::string head = "lm_head.weight";
  const BothForms forms = make_quantized({50, 64}, kInt8, "BF16", 3);
  tensors[packed_name(head)] = forms.packed;
  tensors[scale_name(head)] = forms.scale;
  tensors[shape_name(head)] = forms.shape;
  EXPECT_THAT(error_of(config_json(formats), tensors), HasSubstr(head));
}

}  // namespace
}  // namespace ernie::model
