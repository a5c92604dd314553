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

TEST(MemoryPlan, SaysSoWhenNoFlagHelps) {
  EXPECT_NE(failure(config(), 90).find("No change of flags would fit"), std::string::npos);
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
  const auto plan = [](const model::LoadOptions&, const ops::Backend&) {
    return model::MemoryNeeds{1000, 1000, 2 * toy::kRecordWords * sizeof(float)};
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
