// Whatever the engine does with a request (chunks, cache hits, batches, preemption, ranks, steps in
// flight), the tokens are those of the model alone.
#include <gtest/gtest.h>

#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

std::vector<std::shared_ptr<const model::Prompt>> varied_prompts() {
  std::vector<std::shared_ptr<const model::Prompt>> prompts;
  for (int i = 0; i < 16; ++i) {
    const int length = 5 + 11 * i % 120;
    std::vector<Unit> units;
    if (i % 3 == 1 && length > 40) units = {{4, 20, uint64_t(i)}, {26, 9, 2}};
    prompts.push_back(prompt(counting(length, i / 4), units));
  }
  return prompts;
}

void expect_all(const EngineConfig& config) {
  ToyEngine engine(config);
  std::vector<ToyEngine::Running> running;
  const auto prompts = varied_prompts();
  for (const auto& p : prompts) running.push_back(engine.submit(p, greedy(20, {3})));
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(running[i].wait().tokens, expected(*prompts[i], 20, {3})) << i;
  }
}

TEST(EngineEquivalence, OneByOne) {
  ToyEngine engine(small_config());
  for (const auto& p : varied_prompts()) {
    const Answer answer = engine.run(p, greedy(20, {3}));
    EXPECT_EQ(answer.tokens, expected(*p, 20, {3}));
    EXPECT_EQ(answer.reason,
              answer.tokens.back() == 3 ? FinishReason::kStop : FinishReason::kLength);
  }
}

TEST(EngineEquivalence, BatchOfSixteen) { expect_all(small_config()); }

TEST(EngineEquivalence, SmallChunks) {
  EngineConfig config = small_config();
  config.max_num_batched_tokens = 16;
  expect_all(config);
}

TEST(EngineEquivalence, NoChunksNoCache) {
  EngineConfig config = small_config();
  config.enable_chunked_prefill = false;
  config.enable_prefix_caching = false;
  config.max_num_batched_tokens = 256;
  expect_all(config);
}

TEST(EngineEquivalence, TwoRanks) {
  EngineConfig config = small_config();
  config.tensor_parallel_size = 2;
  expect_all(config);
}

TEST(EngineEquivalence, TwoStepsInFlight) {
  EngineConfig config = small_config();
  config.steps_in_flight = 2;
  expect_all(config);
  config.tensor_parallel_size = 2;
  expect_all(config);
}

TEST(EngineEquivalence, PoolSoSmallThatSequencesArePreempted) {
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = small_config();
    config.steps_in_flight = steps_in_flight;
    config.num_gpu_blocks_override = 32;
    config.max_num_batched_tokens = 256;
    ToyEngine engine(config);
    std::vector<ToyEngine::Running> running;
    for (int i = 0; i < 12; ++i) {
      running.push_back(engine.submit(prompt(counting(16, 5 * i)), greedy(60)));
    }
    int preemptions = 0;
    for (int i = 0; i < 12; ++i) {
      const Answer answer = running[i].wait();
      EXPECT_EQ(answer.tokens, expected(*prompt(counting(16, 5 * i)), 60)) << i;
      EXPECT_EQ(answer.reason, FinishReason::kLength);
      preemptions += answer.stats.preemptions;
    }
    EXPECT_GT(preemptions, 0);
  }
}

// The second request shares a prefix with the first that ends before, at, inside and after a
// picture, or in its very last token.
TEST(EngineEquivalence, CacheHitsAroundAPicture) {
  for (const bool move_hits : {false, true}) {
    EngineConfig config = small_config();
    config.disable_chunked_mm_input = move_hits;
    for (const int begin : {14, 16, 17}) {
      for (const int length : {1, 7, 8, 9, 30}) {
        ToyEngine engine(config);
        const std::vector<Unit> unit = {{begin, length, 9}};
        const auto first = prompt(counting(80), unit);
        EXPECT_EQ(engine.run(first, greedy(4)).tokens, expected(*first, 4));
        for (int common = begin - 2; common <= begin + length + 9; ++common) {
          auto tokens = counting(80);
          for (int i = std::max(common, begin + length); i < 80; ++i) tokens[i] = 60;
          const auto second = prompt(tokens, unit);
          EXPECT_EQ(engine.run(second, greedy(4)).tokens, expected(*second, 4))
              << begin << " " << length << " " << common;
        }
        const auto other_picture = prompt(counting(80), {{begin, length, 10}});
        EXPECT_EQ(engine.run(other_picture, greedy(4)).tokens, expected(*other_picture, 4));
      }
    }
  }
}

TEST(EngineEquivalence, SampledAnswersDependOnTheSeedOnly) {
  const auto sampled = [](uint64_t seed) {
    SamplingParams params;
    params.options.temperature = 1.5f;
    params.options.seed = seed;
    params.max_tokens = 25;
    params.options.repetition_penalty = 1.1f;
    params.options.frequency_penalty = 0.3f;
    return params;
  };
  std::vector<std::vector<int32_t>> alone;
  ToyEngine one(small_config());
  for (uint64_t seed = 0; seed < 8; ++seed) {
    alone.push_back(one.run(prompt(counting(30)), sampled(seed)).tokens);
  }
  EXPECT_NE(alone[0], alone[1]);
  for (const int steps_in_flight : {1, 2}) {
    for (const int ranks : {1, 2}) {
      EngineConfig config = small_config();
      config.tensor_parallel_size = ranks;
      config.steps_in_flight = steps_in_flight;
      config.num_gpu_blocks_override = 32;
      ToyEngine engine(config);
      std::vector<ToyEngine::Running> running;
      for (uint64_t seed = 0; seed < 8; ++seed) {
        running.push_back(engine.submit(prompt(counting(30)), sampled(seed)));
      }
      for (uint64_t seed = 0; seed < 8; ++seed) EXPECT_EQ(running[seed].wait().tokens, alone[seed]);
    }
  }
}

}  // namespace
}  // namespace ernie::engine::toy
