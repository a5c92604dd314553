#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <thread>

#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

using Random = std::mt19937_64;

int between(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint64_t>(high - low + 1));
}

EngineConfig random_config(Random& random) {
  EngineConfig config = small_config();
  config.block_size = 1 << between(random, 1, 5);
  config.max_num_seqs = between(random, 1, 16);
  config.max_num_batched_tokens = between(random, 16, 200);
  config.num_gpu_blocks_override = 256 / config.block_size + between(random, 0, 20);
  config.enable_prefix_caching = random() % 4 != 0;
  config.enable_chunked_prefill = random() % 4 != 0;
  if (!config.enable_chunked_prefill) config.max_num_batched_tokens = 256;
  config.disable_chunked_mm_input = random() % 2 != 0;
  config.tensor_parallel_size = random() % 3 == 0 ? 2 : 1;
  config.steps_in_flight = between(random, 1, 2);
  config.max_encoder_cache = between(random, -1, 150);
  return config;
}

std::shared_ptr<const model::Prompt> random_prompt(Random& random) {
  const int length = between(random, 1, 180);
  auto tokens = counting(length, between(random, 0, 2));
  if (length > 9 && random() % 2) tokens[between(random, 8, length - 1)] = 50;
  std::vector<Unit> units;
  for (int begin = between(random, 0, 20); random() % 3;) {
    const int size = between(random, 1, 60);
    if (begin + size > length) break;
    units.push_back({begin, size, random() % 2 + 1});
    begin += size + static_cast<int>(random() % 2) * 4;
  }
  return prompt(tokens, units);
}

// One engine, random requests, cancellations and deadlines; every answer must be that of the model
// alone, or a beginning of it.
void run_mix(uint64_t seed) {
  Random random(seed);
  ToyEngine engine(random_config(random));
  if (random() % 3 == 0) engine.controls().step_delay_us = 300;
  struct Sent {
    std::shared_ptr<const model::Prompt> prompt;
    int max_tokens;
    bool scored;
    ToyEngine::Running running;
  };
  std::vector<Sent> sent;
  for (int i = between(random, 1, 24); i > 0; --i) {
    const auto p = random_prompt(random);
    const bool scored = random() % 4 == 0;
    const int max_tokens = between(random, scored ? 0 : 1, 40);
    std::optional<Clock::time_point> deadline;
    if (random() % 10 == 0) {
      deadline = Clock::now() + std::chrono::microseconds(between(random, 0, 20000));
    }
    auto params = greedy(max_tokens, {3});
    if (scored) params = scoring(params);
    sent.push_back({p, max_tokens, scored, engine.submit(p, params, deadline)});
    if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    if (random() % 6 == 0) engine->cancel(sent[random() % sent.size()].running.handle);
  }
  for (const Sent& s : sent) {
    const Answer answer = s.running.wait();
    const auto all = expected(*s.prompt, s.max_tokens, {3});
    if (answer.reason == FinishReason::kStop || answer.reason == FinishReason::kLength) {
      EXPECT_EQ(answer.tokens, all) << "seed " << seed;
      if (s.scored) {
        expect_scores(answer, *s.prompt);
      } else {
        EXPECT_TRUE(answer.prompt.empty());
      }
    } else {
      ASSERT_LE(answer.tokens.size(), all.size()) << "seed " << seed;
      EXPECT_TRUE(std::equal(answer.tokens.begin(), answer.tokens.end(), all.begin()))
          << "seed " << seed;
      EXPECT_TRUE(answer.reason == FinishReason::kCancelled ||
                  answer.error->kind == ErrorKind::kTimeout)
          << "seed " << seed;
    }
    EXPECT_EQ(answer.stats.generated_tokens, static_cast<int>(answer.tokens.size()));
  }
  EXPECT_TRUE(engine->drain(std::chrono::seconds(10)));
}

// ERNIE_PROPERTY_SECONDS sets how long it looks; ten mixes are run on the slowest machine.
TEST(EngineProperty, RandomMixesGiveTheTokensOfTheModelAlone) {
  const char* seconds = std::getenv("ERNIE_PROPERTY_SECONDS");
  const auto end = Clock::now() + std::chrono::seconds(seconds ? std::atoi(seconds) : 20);
  uint64_t seed = 1;
  for (; (seed <= 10 || Clock::now() < end) && !HasFailure(); ++seed) run_mix(seed);
  RecordProperty("mixes", std::to_string(seed - 1));
}

}  // namespace
}  // namespace ernie::engine::toy
