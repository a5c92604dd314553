// Defects that users of other servers met where pictures, prefix cache and preemption come
// together. The numbers are issues of PaddlePaddle/FastDeploy.
#include <gtest/gtest.h>

#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

// #6061: a cache hit that ends exactly where a picture begins hung, or lost the picture.
TEST(EngineRegression, HitThatEndsExactlyAtThePicture) {
  ToyEngine engine(small_config());
  const auto with_picture = [](uint64_t content) {
    return prompt(counting(60), {{16, 20, content}});  // the picture begins with block 2
  };
  EXPECT_EQ(engine.run(with_picture(1), greedy(6)).tokens, expected(*with_picture(1), 6));
  const Answer second = engine.run(with_picture(2), greedy(6));
  EXPECT_EQ(second.stats.cached_tokens, 16);
  EXPECT_EQ(second.tokens, expected(*with_picture(2), 6));
}

// #6558: the second request with the same picture crashed, because the features were not cut.
TEST(EngineRegression, SecondRequestWithTheSamePicture) {
  ToyEngine engine(small_config());
  const auto same = prompt(counting(50), {{5, 40, 3}});  // the hit ends inside the picture, at 40
  const auto asks_more = [&] {
    auto tokens = counting(50);
    tokens[46] = 1;
    return prompt(tokens, {{5, 40, 3}});
  }();
  EXPECT_EQ(engine.run(same, greedy(6)).tokens, expected(*same, 6));
  const uint64_t before = engine.controls().tokens;
  const Answer again = engine.run(asks_more, greedy(1));
  EXPECT_EQ(again.stats.cached_tokens, 40);
  EXPECT_EQ(engine.controls().tokens - before, 10u);
  EXPECT_EQ(again.tokens, expected(*asks_more, 1));
  EXPECT_EQ(engine.run(same, greedy(6)).tokens, expected(*same, 6));
}

// #5502: blocks with answers of preempted requests went into the cache with wrong content.
TEST(EngineRegression, AnswersOfPreemptedRequestsAreCachedRight) {
  EngineConfig config = small_config();
  config.num_gpu_blocks_override = 32;
  ToyEngine engine(config);
  std::vector<ToyEngine::Running> running;
  for (int i = 0; i < 8; ++i)
    running.push_back(engine.submit(prompt(counting(16, 7 * i)), greedy(60)));
  int preempted = 0;
  for (int i = 0; i < 8; ++i) {
    const Answer first = running[i].wait();
    if (first.stats.preemptions == 0) continue;
    ++preempted;
    auto next_turn = counting(16, 7 * i);
    next_turn.insert(next_turn.end(), first.tokens.begin(), first.tokens.end());
    const auto p = prompt(next_turn);
    const Answer second = engine.run(p, greedy(8));
    EXPECT_EQ(second.tokens, expected(*p, 8)) << i;
  }
  EXPECT_GT(preempted, 0);
}

// #6620: time to first token and hit rate were wrong after a preemption.
TEST(EngineRegression, PreemptionDoesNotChangeFirstTokenTimeAndHits) {
  EngineConfig config = small_config();
  config.num_gpu_blocks_override = 32;
  ToyEngine engine(config);
  engine.controls().step_delay_us = 200;
  std::vector<ToyEngine::Running> running;
  for (int i = 0; i < 8; ++i)
    running.push_back(engine.submit(prompt(counting(16, 7 * i)), greedy(60)));
  int preempted = 0;
  for (const auto& r : running) {
    const Answer answer = r.wait();
    EXPECT_EQ(answer.stats.cached_tokens, 0);
    EXPECT_EQ(answer.stats.prompt_tokens, 16);
    EXPECT_EQ(answer.stats.generated_tokens, 60);
    if (answer.stats.preemptions == 0) continue;
    ++preempted;
    // The first token came before the others ended, long before the request came back.
    EXPECT_LE(answer.stats.first_token, running[0].wait().stats.finished);
  }
  EXPECT_GT(preempted, 0);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.prompt_tokens, 8u * 16u);
  EXPECT_EQ(stats.cached_tokens, 0u);
  EXPECT_EQ(stats.generated_tokens, 8u * 60u);
  EXPECT_GT(stats.preemptions, 0u);
}

// A picture larger than the budget stretches the step; buffers are sized for it.
TEST(EngineRegression, APictureLargerThanTheBudget) {
  EngineConfig config = small_config();
  config.max_num_batched_tokens = 16;
  ToyEngine engine(config);
  const auto p = prompt(counting(100), {{15, 64, 4}});
  EXPECT_EQ(engine.run(p, greedy(5)).tokens, expected(*p, 5));
  EXPECT_EQ(engine.controls().max_tokens_in_step, 15 + 64);
}

}  // namespace
}  // namespace ernie::engine::toy
