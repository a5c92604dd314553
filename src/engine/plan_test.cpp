#include "engine/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "model/testing/checkpoint_writer.h"
#include "model/testing/tiny_model.h"

namespace ernie::engine {
namespace {

using model::testing::tiny_config;
using testing::HasSubstr;

EngineConfig tiny_engine() {
  EngineConfig c;
  c.load_choice = model::LoadChoice::kDummy;
  c.dtype = DType::kF32;
  c.max_model_len = 128;
  c.max_num_seqs = 4;
  c.max_num_batched_tokens = 64;
  c.block_size = 8;
  c.num_gpu_blocks_override = 64;
  c.max_media_tokens = 16;
  c.max_encoder_cache = 32;
  return c;
}

std::unique_ptr<ops::Backend> make_backend(int) { return cpu::make_cpu_backend({.threads = 1}); }

MemoryReport reported(const model::ModelConfig& model_config, const EngineConfig& config) {
  return Engine::start(model_config, config, make_backend)->memory();
}

constexpr ops::Device::MemoryInfo kGigabyte{size_t{1} << 30, size_t{1} << 30, true};

MemoryReport planned(const model::ModelConfig& model_config, const EngineConfig& config) {
  return plan(model_config, config, kGigabyte, cpu::cpu_sizing());
}

void expect_equal(const MemoryReport& a, const MemoryReport& b) {
  EXPECT_EQ(a.weight_bytes, b.weight_bytes);
  EXPECT_EQ(a.workspace_bytes, b.workspace_bytes);
  EXPECT_EQ(a.encoder_cache_bytes, b.encoder_cache_bytes);
  EXPECT_EQ(a.kv_bytes, b.kv_bytes);
  EXPECT_EQ(a.block_bytes, b.block_bytes);
  EXPECT_EQ(a.num_blocks, b.num_blocks);
}

TEST(Plan, IsWhatAStartedEngineReports) {
  for (const char* quantization : {"bf16", "wint8", "wint4"}) {
    for (const int ranks : {1, 2}) {
      for (const bool text_only : {false, true}) {
        SCOPED_TRACE(testing::Message() << quantization << ' ' << ranks << ' ' << text_only);
        EngineConfig config = tiny_engine();
        config.quantization = *model::parse_quantization(quantization);
        config.tensor_parallel_size = ranks;
        config.text_only = text_only;
        expect_equal(planned(tiny_config(), config), reported(tiny_config(), config));
      }
    }
  }
}

TEST(Plan, EightBitsHoldTwiceTheTokens) {
  model::ModelConfig model_config = tiny_config();
  model_config.head_dim = 128;
  const auto blocks = [&](std::optional<KvType> type) {
    EngineConfig config = tiny_engine();
    config.dtype = DType::kBF16;
    config.num_gpu_blocks_override = 0;
    config.kv_cache = type;
    constexpr size_t kFree = size_t{32} << 20;  // less than the most blocks there may be
    return plan(model_config, config, {kFree, kFree, true}, cpu::cpu_sizing()).num_blocks;
  };
  for (const KvType type : {KvType::kInt8, KvType::kFp8}) {
    EXPECT_GE(blocks(type), 1.9 * blocks({})) << kv_type_name(type);
    EngineConfig config = tiny_engine();
    config.kv_cache = type;
    expect_equal(planned(tiny_config(), config), reported(tiny_config(), config));
  }
}

// A tied configuration whose checkpoint stores a head all the same.
TEST(Plan, CountsAHeadThatOnlyTheCheckpointHas) {
  const model::ModelConfig tied = tiny_config();
  model::ModelConfig untied = tied;
  untied.tie_word_embeddings = false;
  const auto backend = make_backend(0);
  model::testing::TensorMap tensors = model::testing::tiny_pt_tensors(tied, *backend);
  // Stored with both modalities in one tensor.
  const std::string bias = "model.layers.1.mlp.moe_statics.e_score_correction_bias";
  tensors[bias] = model::testing::stacked(tensors.at(bias), tensors.at(bias + "_1"));
  tensors.erase(bias + "_1");
  model::testing::TempFolder folder;
  EngineConfig config = tiny_engine();
  config.load_choice = model::LoadChoice::kCheckpoint;
  config.model_dir = folder.path();
  const auto weights = [&] {
    folder.write("model.safetensors", model::testing::safetensors_bytes(tensors));
    const MemoryReport report = planned(tied, config);
    expect_equal(report, reported(tied, config));
    return report.weight_bytes;
  };
  const size_t without = weights();
  tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight");
  const size_t with = weights();
  EXPECT_EQ(with - without, planned(untied, tiny_engine()).weight_bytes -
                                planned(tied, tiny_engine()).weight_bytes);
  EXPECT_GT(with, without);

  const auto comm = make_single_communicator();
  model::LoadOptions options = model::testing::tiny_options();
  EXPECT_EQ(model::load_model(tied, folder.path(), options, *backend, *comm)->weight_bytes(), with);
  config.load_choice = model::LoadChoice::kDummy;
  EXPECT_EQ(planned(tied, config).weight_bytes, without);
}

TEST(Plan, RefusesAsAStartDoes) {
  const auto failure = [](const EngineConfig& config, size_t bytes) -> std::string {
    try {
      plan(tiny_config(), config, {bytes, bytes, true}, cpu::cpu_sizing());
    } catch (const NotEnoughMemory& e) {
      EXPECT_GT(e.report().weight_bytes, 0u);
      return std::string("memory: ") + e.what();
    } catch (const StartError& e) {
      return e.what();
    }
    return {};
  };
  EngineConfig config = tiny_engine();
  EXPECT_EQ(failure(config, size_t{1} << 30), "");
  EXPECT_THAT(failure(config, 1 << 16), HasSubstr("memory: not enough memory: weights take"));
  config.tensor_parallel_size = 3;
  EXPECT_THAT(failure(config, size_t{1} << 30), HasSubstr("3"));
  config = tiny_engine();
  config.max_model_len = 1;
  EXPECT_THAT(failure(config, size_t{1} << 30), testing::StartsWith("--max-model-len"));
}

}  // namespace
}  // namespace ernie::engine
