#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include "engine/test_support.h"

namespace ernie::engine {
namespace {

constexpr size_t kMiB = 1 << 20;

// Weights 100 MiB, 0.1 MiB of work buffers per token of a step, blocks of 1 MiB.
DeviceNeeds needs(int tokens) {
  return {100 * kMiB, static_cast<size_t>(tokens) * kMiB / 10, kMiB};
}

EngineConfig config() {
  EngineConfig c;
  c.max_model_len = 640;  // ten blocks
  c.max_num_batched_tokens = 1000;
  c.block_size = 64;
  c.gpu_memory_utilization = 0.5;
  return c;
}

std::string failure(const EngineConfig& c, size_t free_mib, int ranks = 1) {
  try {
    plan_device_memory(c, {1000 * kMiB, free_mib * kMiB}, ranks, needs);
  } catch (const StartError& e) {
    return e.what();
  }
  return "";
}

TEST(MemoryPlan, TheCacheTakesWhatTheShareLeaves) {
  const MemoryReport report = plan_device_memory(config(), {1000 * kMiB, 600 * kMiB}, 1, needs);
  EXPECT_EQ(report.budget_bytes, 300 * kMiB);
  EXPECT_EQ(report.weight_bytes, 100 * kMiB);
  EXPECT_EQ(report.workspace_bytes, 100 * kMiB);
  EXPECT_EQ(report.num_blocks, 100);
  EXPECT_EQ(report.kv_bytes, 100 * kMiB);
}

TEST(MemoryPlan, RanksOfOneDeviceShareIt) {
  const MemoryReport report = plan_device_memory(config(), {1000 * kMiB, 900 * kMiB}, 2, needs);
  EXPECT_EQ(report.num_blocks, 25);  // (450 - 2 * 200) / 2
}

TEST(MemoryPlan, AnOverrideSetsTheNumberOfBlocks) {
  EngineConfig c = config();
  c.num_gpu_blocks_override = 12;
  EXPECT_EQ(plan_device_memory(c, {1000 * kMiB, 600 * kMiB}, 1, needs).num_blocks, 12);
  c.num_gpu_blocks_override = 9;
  EXPECT_NE(failure(c, 600).find("at least 10 blocks or --max-model-len 576"), std::string::npos)
      << failure(c, 600);
  c.num_gpu_blocks_override = 900;
  EXPECT_NE(failure(c, 600).find("--num-gpu-blocks-override 400"), std::string::npos)
      << failure(c, 600);
}

TEST(MemoryPlan, TooLittleNamesTheNumbersAndFlagsThatFit) {
  // 205 MiB may be used, 210 are needed.
  const std::string message = failure(config(), 410);
  for (const char* part :
       {"weights take 100.0 MiB", "work buffers 100.0 MiB", "10 key-value blocks", "210.0 MiB",
        "205.0 MiB", "--gpu-memory-utilization 0.52", "--max-model-len 320",
        "--max-num-batched-tokens 950"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " not in: " << message;
  }
  // Each of them, alone, is enough.
  EngineConfig c = config();
  c.gpu_memory_utilization = 0.52;
  EXPECT_EQ(failure(c, 410), "");
  c = config();
  c.max_model_len = 320;
  EXPECT_EQ(failure(c, 410), "");
  c = config();
  c.max_num_batched_tokens = 950;
  EXPECT_EQ(failure(c, 410), "");
  c.max_num_batched_tokens = 951;
  EXPECT_NE(failure(c, 410), "");
}

// Weights 100 MiB, work buffers 100 MiB, blocks of 1 MiB, 1 MiB for 8 tokens of a picture.
MemoryReport plan_with_pictures(const EngineConfig& c, size_t free_mib, int ranks = 1) {
  return plan_device_memory(c, {1000 * kMiB, free_mib * kMiB}, ranks, [](int tokens) {
    DeviceNeeds n = needs(tokens);
    n.feature_bytes = kMiB / 8;
    return n;
  });
}

TEST(MemoryPlan, TheEncoderCacheIsTakenFromTheBlocks) {
  EngineConfig c = config();
  c.max_encoder_cache = 80;
  MemoryReport report = plan_with_pictures(c, 600);
  EXPECT_EQ(report.encoder_cache_tokens, 80);
  EXPECT_EQ(report.encoder_cache_bytes, 10 * kMiB);
  EXPECT_EQ(report.num_blocks, 90);
  report = plan_with_pictures(c, 900, 2);  // each rank keeps all features
  EXPECT_EQ(report.encoder_cache_tokens, 80);
  EXPECT_EQ(report.encoder_cache_bytes, 20 * kMiB);
  EXPECT_EQ(report.num_blocks, 15);
  c.max_encoder_cache = 0;
  EXPECT_EQ(plan_with_pictures(c, 600).encoder_cache_bytes, 0u);
  EXPECT_EQ(plan_with_pictures(c, 600).num_blocks, 100);
}

TEST(MemoryPlan, ByDefaultTheEncoderCacheHoldsSixteenPicturesOrATwentiethOfSpareMemory) {
  EngineConfig c = config();
  c.max_media_tokens = 2;
  EXPECT_EQ(plan_with_pictures(c, 600).encoder_cache_tokens, 32);
  EXPECT_EQ(plan_with_pictures(c, 600).num_blocks, 96);
  c.max_media_tokens = 1000;
  // 300 MiB less 200 and ten blocks is 90, of which a twentieth holds 36 tokens.
  EXPECT_EQ(plan_with_pictures(c, 600).encoder_cache_tokens, 36);
  EXPECT_EQ(plan_with_pictures(c, 600).num_blocks, 95);
  EXPECT_EQ(plan_with_pictures(c, 420).encoder_cache_tokens, 0) << "one sequence takes all";
  EXPECT_EQ(plan_with_pictures(c, 420).num_blocks, 10);
  c.num_gpu_blocks_override = 20;
  EXPECT_EQ(plan_with_pictures(c, 300).encoder_cache_tokens, 32);  // of 300 - 200 - 20 MiB
  EXPECT_EQ(plan_with_pictures(c, 300).num_blocks, 20);
}

TEST(MemoryPlan, TooLargeAnEncoderCacheIsNamed) {
  for (const int blocks : {0, 20}) {
    EngineConfig c = config();
    c.max_encoder_cache = 800;
    c.num_gpu_blocks_override = blocks;
    const size_t free_mib = blocks > 0 ? 250 : 500;
    try {
      plan_with_pictures(c, free_mib);
      ADD_FAILURE() << "100 MiB do not fit";
    } catch (const StartError& e) {
      EXPECT_NE(std::string(e.what()).find("the encoder cache 100.0 MiB"), std::string::npos)
          << e.what();
      EXPECT_NE(std::string(e.what()).find("--max-encoder-cache 0"), std::string::npos) << e.what();
    }
    c.max_encoder_cache = 0;
    plan_with_pictures(c, free_mib);
  }
}

TEST(MemoryPlan, SaysSoWhenNoFlagHelps) {
  EXPECT_NE(failure(config(), 90).find("None of the flags for memory would make it fit"),
            std::string::npos);
}

TEST(MemoryPlan, StepsHoldTheBudgetAndTheLargestPicture) {
  EngineConfig c = config();
  c.max_media_tokens = 500;
  EXPECT_EQ(step_limits(c, toy::config()).max_tokens, 1500);
  EXPECT_EQ(step_limits(c, toy::config()).max_media_patches, 2000);
  EXPECT_EQ(step_limits(c, toy::config(false)).max_tokens, 1000);
  c.max_num_seqs = 1;  // one sequence has no more tokens than the context
  EXPECT_EQ(step_limits(c, toy::config()).max_tokens, 640);
}

TEST(EngineStart, RefusesSettingsThatCannotWork) {
  const auto refusal = [](auto change) -> std::string {
    EngineConfig c = toy::small_config();
    change(c);
    try {
      toy::ToyEngine engine(c);
    } catch (const StartError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(refusal([](auto& c) { c.max_num_batched_tokens = 8; }).find("--max-num-seqs 16"),
            std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.max_model_len = 1 << 20; }).find("131072"), std::string::npos);
  EXPECT_NE(refusal([](auto& c) { c.gpu_memory_utilization = 1.5; }), "");
  EXPECT_NE(refusal([](auto& c) { c.block_size = 0; }), "");
  EXPECT_NE(refusal([](auto& c) { c.steps_in_flight = 3; }), "");
  EXPECT_NE(refusal([](auto& c) { c.max_encoder_cache = -2; }), "");
  EXPECT_EQ(refusal([](auto&) {}), "");
}

// Communicators for devices take memory, which the plan must find taken.
TEST(EngineStart, CommunicatorsComeBeforeBackendsAndThePlan) {
  EngineConfig c = toy::small_config();
  c.tensor_parallel_size = 2;
  std::atomic<int> asked_for = 0;
  const auto make_backend = [&](int) {
    EXPECT_EQ(asked_for, 2);
    return std::make_unique<toy::Backend>(size_t{1} << 30);
  };
  const auto plan = [](const model::LoadOptions&, const ops::Sizing&) {
    return model::MemoryNeeds{1000, 1000};
  };
  const auto load = [](const model::LoadOptions&, ops::Backend&, Communicator& comm) {
    EXPECT_EQ(comm.size(), 2);
    return std::make_unique<toy::Model>(comm, std::make_shared<toy::Controls>());
  };
  start_engine(toy::config(), c, make_backend, {.plan = plan, .load = load}, [&](int size) {
    asked_for = size;
    return make_local_communicators(size);
  });
}

}  // namespace
}  // namespace ernie::engine
