// Checkpoints in the three public layouts, written here from the same logical weights.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "base/result.h"
#include "model/ernie45_vl/ernie45_vl.h"
#include "model/safetensors.h"
#include "model/testing/layouts.h"
#include "model/testing/tiny_model.h"

namespace ernie::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::hf_layout;
using testing::paddle_layout;
using testing::pt_layout;
using testing::safetensors_bytes;
using testing::TempFolder;
using testing::TensorMap;
using testing::tiny_config;
using testing::transposed;

std::vector<float> tiny_logits(const ModelConfig& config, WeightSource& source) {
  return testing::tiny_logits(config, source, *cpu::make_cpu_backend({.threads = 1}));
}

TensorMap tiny_pt_tensors(const ModelConfig& config, const std::string& type = "BF16") {
  return testing::tiny_pt_tensors(config, *cpu::make_cpu_backend({.threads = 1}), 1, type);
}

std::vector<float> logits_of(const ModelConfig& config, const std::string& folder) {
  return tiny_logits(config, *open_checkpoint_source(config, folder));
}

std::vector<float> logits_of(const ModelConfig& config, const TensorMap& tensors,
                             bool odd_header = false) {
  TempFolder folder;
  folder.write("model.safetensors", safetensors_bytes(tensors, odd_header));
  return logits_of(config, folder.path());
}

class Layouts : public ::testing::TestWithParam<bool> {
 protected:
  Layouts() { config_.tie_word_embeddings = GetParam(); }
  ModelConfig config_ = tiny_config();
};

TEST_P(Layouts, AllGiveTheSameLogits) {
  const TensorMap tensors = tiny_pt_tensors(config_);
  const std::vector<float> pt = logits_of(config_, pt_layout(tensors));
  EXPECT_EQ(pt, logits_of(config_, hf_layout(tensors)));
  EXPECT_EQ(pt, logits_of(config_, paddle_layout(tensors, true, false)));
  EXPECT_EQ(pt, logits_of(config_, paddle_layout(tensors, true, true)));
  EXPECT_EQ(pt, logits_of(config_, paddle_layout(tensors, false, false)));
  EXPECT_EQ(pt, logits_of(config_, pt_layout(tensors), /*odd_header=*/true)) << "unaligned data";
}

// What save_pretrained of transformers 5 writes: original names but for the tower's prefix, or its
// own names but for the last norm.
TEST_P(Layouts, HalfRenamedFilesOfTransformers) {
  const TensorMap tensors = tiny_pt_tensors(config_);
  const std::vector<float> expected = logits_of(config_, pt_layout(tensors));
  TensorMap original;
  for (const auto& [name, tensor] : pt_layout(tensors)) {
    original[name.starts_with("vision_model.") ? "model." + name : name] = tensor;
  }
  EXPECT_EQ(expected, logits_of(config_, original));
  TensorMap own = hf_layout(tensors);
  own["model.norm.weight"] = own["model.language_model.norm.weight"];
  own.erase("model.language_model.norm.weight");
  EXPECT_EQ(expected, logits_of(config_, own));
}

TEST_P(Layouts, Float32WeightsGiveTheLogitsOfTheirSource) {
  const TensorMap tensors = tiny_pt_tensors(config_, "F32");
  EXPECT_EQ(logits_of(config_, pt_layout(tensors)),
            tiny_logits(config_, *make_dummy_source(config_, 1)));
}

INSTANTIATE_TEST_SUITE_P(TiedOrNot, Layouts, ::testing::Bool());

TEST(CheckpointSource, HeadInEitherOrientation) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = false;
  const TensorMap logical = tiny_pt_tensors(config);
  for (TensorMap tensors :
       {pt_layout(logical), hf_layout(logical), paddle_layout(logical, true, false)}) {
    const std::vector<float> straight = logits_of(config, tensors);
    tensors["lm_head.weight"] = transposed(tensors["lm_head.weight"]);
    EXPECT_EQ(straight, logits_of(config, tensors));
  }
}

// Old versions of PaddleFormers.
TEST(CheckpointSource, PaddlesOrientationUnderOriginalNames) {
  const ModelConfig config = tiny_config();
  const TensorMap logical = tiny_pt_tensors(config);
  TensorMap tensors;
  for (const auto& [name, tensor] : paddle_layout(logical, false, false)) {
    tensors[name.starts_with("ernie.") ? "model." + name.substr(6) : name] = tensor;
  }
  EXPECT_EQ(logits_of(config, tensors), logits_of(config, pt_layout(logical)));
}

TEST(CheckpointSource, MatricesFusedByKvHeadUnderOriginalNames) {
  const ModelConfig config = tiny_config();
  const TensorMap logical = tiny_pt_tensors(config);
  const TensorMap fused = testing::paddleformers_layout(logical, config);
  ASSERT_TRUE(fused.contains("model.layers.0.self_attn.qkv_proj.weight"));
  ASSERT_TRUE(fused.contains("model.layers.1.mlp.experts.0.up_gate_proj.weight"));
  EXPECT_EQ(logits_of(config, fused), logits_of(config, pt_layout(logical)));
  TensorMap straight = fused;  // what is fused was not turned by the tool that turned the rest
  for (const char* layer : {"0", "1"}) {
    auto& qkv = straight["model.layers." + std::string(layer) + ".self_attn.qkv_proj.weight"];
    qkv = transposed(qkv);
  }
  EXPECT_EQ(logits_of(config, straight), logits_of(config, pt_layout(logical)));
}

std::vector<float> read(const ModelConfig& config, const TempFolder& folder, const TensorSpec& spec,
                        const Slice& slice) {
  std::vector<float> out(static_cast<size_t>(slice.rows * slice.cols));
  open_checkpoint_source(config, folder.path())->read(spec, slice, DType::kF32, out.data());
  return out;
}

// Two ranks, and cuts inside the rows of a KV head.
TEST(CheckpointSource, SlicesOfMatricesFusedByKvHead) {
  const ModelConfig config = tiny_config();
  const TensorMap logical = tiny_pt_tensors(config);
  TempFolder pt, fused;
  pt.write("model.safetensors", safetensors_bytes(pt_layout(logical)));
  fused.write("model.safetensors",
              safetensors_bytes(testing::paddleformers_layout(logical, config)));
  const std::string attention = "model.layers.0.self_attn.";
  for (const auto& [name, rows] : {std::pair("q_proj", 64), {"k_proj", 32}, {"v_proj", 32}}) {
    const TensorSpec spec{attention + name + ".weight", TensorRole::kLinear, rows, 24};
    for (const Slice& slice : {whole(spec), Slice{0, rows / 2, 0, 24},
                               Slice{rows / 2, rows / 2, 0, 24}, Slice{7, 20, 3, 5}}) {
      EXPECT_EQ(read(config, pt, spec, slice), read(config, fused, spec, slice)) << name;
    }
  }
}

// Where no shape tells, config.json or the file's own word does.
TEST(CheckpointSource, OrientationOfSquareMatrices) {
  ModelConfig config;
  config.hidden_size = config.intermediate_size = config.vocab_size = 8;
  config.num_layers = 1;
  config.num_heads = config.num_kv_heads = 2;
  config.head_dim = 4;
  std::vector<float> values(64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  TensorMap tensors;
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  for (const std::string& matrix : {name, std::string("lm_head.weight")}) {
    tensors[matrix] = {{8, 8}, values};
  }
  const TensorSpec spec{name, TensorRole::kLinear, 8, 8};
  const TensorSpec head{"lm_head.weight", TensorRole::kTable, 8, 8};
  const std::vector<float> turned = transposed(tensors.at(name)).values;
  TempFolder straight, numpy;
  straight.write("model.safetensors", safetensors_bytes(tensors));
  numpy.write("model.safetensors", safetensors_bytes(tensors, false, "np"));
  EXPECT_EQ(read(config, straight, spec, whole(spec)), values);
  EXPECT_EQ(read(config, numpy, spec, whole(spec)), turned);
  EXPECT_EQ(read(config, numpy, head, whole(head)), values) << "[vocabulary, hidden]";
  config.saved_by_paddle = true;
  EXPECT_EQ(read(config, straight, spec, whole(spec)), turned);
}

TEST(CheckpointSource, AStoredHeadIsUsedWhateverTheConfigurationSays) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = false;
  const TensorMap tensors = pt_layout(tiny_pt_tensors(config));
  const std::vector<float> own = logits_of(config, tensors);
  config.tie_word_embeddings = true;
  EXPECT_EQ(own, logits_of(config, tensors));
}

TEST(CheckpointSource, ShardsAndIgnoredExtras) {
  const ModelConfig config = tiny_config();
  const TensorMap all = pt_layout(tiny_pt_tensors(config));
  TensorMap parts[2];
  std::string map;
  int i = 0;
  for (const auto& [name, tensor] : all) {
    map += (i ? "," : "") + ("\"" + name + "\":\"s") + std::to_string(i % 2) + ".safetensors\"";
    parts[i++ % 2][name] = tensor;
  }
  parts[0]["model.mtp_block.0.mlp.up_proj.weight"] = {{2}, {1, 2}};
  parts[1]["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{1}, {1}, "F32"};
  TempFolder folder;
  folder.write("s0.safetensors", safetensors_bytes(parts[0]));
  folder.write("s1.safetensors", safetensors_bytes(parts[1]));
  folder.write("model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  EXPECT_EQ(logits_of(config, folder.path()), logits_of(config, all));
}

std::string error_of(const ModelConfig& config, const TensorMap& tensors) {
  try {
    logits_of(config, tensors);
  } catch (const StartError& error) {
    return error.what();
  }
  return "no error";
}

// A76
TEST(CheckpointSource, EveryMissingTensorIsNamed) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = false;
  const TensorMap logical = tiny_pt_tensors(config);
  for (const TensorMap& all :
       {pt_layout(logical), hf_layout(logical), paddle_layout(logical, true, false)}) {
    for (const auto& [name, tensor] : all) {
      TensorMap some = all;
      some.erase(name);
      EXPECT_THAT(error_of(config, some), HasSubstr(name));
    }
  }
}

// A76
TEST(CheckpointSource, WrongShapesNameTensorExpectedAndFound) {
  const ModelConfig config = tiny_config();
  const TensorMap logical = tiny_pt_tensors(config);
  for (const TensorMap& all :
       {pt_layout(logical), hf_layout(logical), paddle_layout(logical, true, false)}) {
    for (const auto& [name, tensor] : all) {
      TensorMap some = all;
      some[name].shape.back() += 1;
      some[name].values.resize(some[name].values.size() / tensor.shape.back() *
                               (tensor.shape.back() + 1));
      EXPECT_THAT(error_of(config, some),
                  AllOf(HasSubstr("model.safetensors: tensor \"" + name + "\": expected shape ["),
                        HasSubstr("found " + shape_text(some[name].shape))));
    }
  }
}

TEST(CheckpointSource, SurplusTensorsAreNamed) {
  ModelConfig config = tiny_config();
  TensorMap tensors = pt_layout(tiny_pt_tensors(config));
  tensors["model.layers.2.mlp.up_proj.weight"] = {{2}, {1, 2}};
  EXPECT_THAT(error_of(config, tensors),
              AllOf(HasSubstr("1 more"), HasSubstr("\"model.layers.2.mlp.up_proj.weight\" [2]")));
  tensors.erase("model.layers.2.mlp.up_proj.weight");
  config.moe->num_shared_experts = 0;
  EXPECT_THAT(error_of(config, tensors), HasSubstr("moe_num_shared_experts"));
}

TEST(CheckpointSource, TypesThatCannotBeRead) {
  const ModelConfig config = tiny_config();
  TensorMap tensors = pt_layout(tiny_pt_tensors(config));
  tensors["model.norm.weight"].type = "I16";  // two bytes, as what the writer writes
  EXPECT_THAT(error_of(config, tensors),
              AllOf(HasSubstr("model.norm.weight"), HasSubstr("found I16")));
}

TEST(CheckpointSource, UnknownLayoutsAndQuantisedFilesSaySo) {
  const ModelConfig config = tiny_config();
  EXPECT_THAT(error_of(config, {{"transformer.h.0.weight", {{1}, {1}}}}),
              HasSubstr("transformer.h.0.weight"));
  TensorMap tensors = paddle_layout(tiny_pt_tensors(config), true, false);
  const std::string stem = "ernie.layers.0.self_attn.qkv_proj.";
  tensors[stem + "quant_weight"] = tensors[stem + "weight"];
  tensors.erase(stem + "weight");
  EXPECT_THAT(error_of(config, tensors), HasSubstr("quantised"));
}

// The checkpoint still holds the tower and the vision experts; they are neither missed nor kept.
TEST(CheckpointSource, TextOnlyAnswersTextAsTheWholeModelAndHoldsNothingForPictures) {
  const ModelConfig config = tiny_config();
  const auto backend = cpu::make_cpu_backend({.threads = 1});
  TempFolder folder;
  folder.write("model.safetensors", safetensors_bytes(pt_layout(tiny_pt_tensors(config))));
  const auto comm = make_single_communicator();
  Prompt prompt;
  prompt.tokens = {3, 5, 8, 13};
  prompt.positions = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}};
  prompt.is_vision = {0, 0, 0, 0};
  prompt.next_position = 4;
  size_t bytes[2] = {};
  std::vector<float> logits[2];
  for (const bool text_only : {false, true}) {
    LoadOptions options = testing::tiny_options();
    options.text_only = text_only;
    const auto source = open_checkpoint_source(config, folder.path());
    const auto model = ernie45_vl::build(config, options, *source, *backend, *comm);
    EXPECT_EQ(model->config().vision.has_value(), !text_only);
    bytes[text_only] = model->weight_bytes();
    const auto planned = plan_memory(config, options, 1, backend->sizing());
    EXPECT_EQ(model->weight_bytes(), planned->weight_bytes);
    EXPECT_EQ(model->workspace_bytes(), planned->workspace_bytes);
    logits[text_only] = testing::PromptRunner({*model, *backend}).run(prompt);
  }
  EXPECT_LT(bytes[1], bytes[0] * 3 / 4);
  EXPECT_EQ(logits[1], logits[0]);
}

}  // namespace
}  // namespace ernie::model
