// The log-probabilities of a prompt's tokens are those of the model alone, whatever the engine does
// with the request.
#include <gtest/gtest.h>

#include "engine/test_support.h"

namespace ernie::engine::toy {
namespace {

std::vector<std::shared_ptr<const model::Prompt>> varied_prompts() {
  return {prompt(counting(1)), prompt(counting(2)), prompt(counting(90)),
          prompt(counting(70), {{4, 20, 1}, {26, 9, 2}, {35, 1, 3}}),
          prompt(counting(30), {{12, 18, 4}})};  // ends with a picture
}

TEST(PromptScores, AreOfEveryTokenButTheFirstAndPlaceholders) {
  for (const int ranks : {1, 2}) {
    for (const int steps_in_flight : {1, 2}) {
      for (const int max_num_seqs : {1, 3, 16}) {
        EngineConfig config = small_config();
        config.tensor_parallel_size = ranks;
        config.steps_in_flight = steps_in_flight;
        config.max_num_seqs = max_num_seqs;
        ToyEngine engine(config);
        std::vector<ToyEngine::Running> running;
        const auto prompts = varied_prompts();
        for (const auto& p : prompts) running.push_back(engine.submit(p, scoring(greedy(9, {3}))));
        for (size_t i = 0; i < prompts.size(); ++i) {
          const Answer answer = running[i].wait();
          expect_scores(answer, *prompts[i]);
          EXPECT_EQ(answer.tokens, expected(*prompts[i], 9, {3})) << i;
        }
      }
    }
  }
}

TEST(PromptScores, WithoutTokensToGenerateThereIsNothingButThem) {
  ToyEngine engine(small_config());
  const auto p = prompt(counting(40));
  const Answer answer = engine.run(p, scoring(greedy(0)));
  expect_scores(answer, *p);
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_EQ(answer.reason, FinishReason::kLength);
  EXPECT_EQ(answer.stats.generated_tokens, 0);
}

TEST(PromptScores, ComeOnceThoughThePromptIsComputedAgain) {
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = small_config();
    config.steps_in_flight = steps_in_flight;
    config.num_gpu_blocks_override = 32;
    config.max_num_seqs = 12;
    ToyEngine engine(config);
    std::vector<ToyEngine::Running> running;
    for (int i = 0; i < 12; ++i) {
      running.push_back(engine.submit(prompt(counting(60, 5 * i)), scoring(greedy(30))));
    }
    int preemptions = 0;
    for (int i = 0; i < 12; ++i) {
      const Answer answer = running[i].wait();
      expect_scores(answer, *prompt(counting(60, 5 * i)));
      EXPECT_EQ(answer.tokens, expected(*prompt(counting(60, 5 * i)), 30)) << i;
      preemptions += answer.stats.preemptions;
    }
    EXPECT_GT(preemptions, 0);
  }
}

TEST(PromptScores, TakeNothingFromTheCache) {
  ToyEngine engine(small_config());
  const auto p = prompt(counting(90));
  engine.run(p, greedy(2));
  const Answer answer = engine.run(p, scoring(greedy(2)));
  expect_scores(answer, *p);
  EXPECT_EQ(answer.stats.cached_tokens, 0);
  EXPECT_GT(engine.run(p, greedy(2)).stats.cached_tokens, 0);
}

// The answer's rules are not the prompt's.
TEST(PromptScores, AreOfTheModelsOwnDistribution) {
  ToyEngine engine(small_config());
  const auto p = prompt(counting(50));
  SamplingParams params = scoring(greedy(5));
  params.options.temperature = 1.7f;
  params.options.top_k = 2;
  params.options.repetition_penalty = 2;
  params.logit_bias = {{5, 50.0f}};
  params.bad_token_ids = {6, 7};
  params.min_tokens = 3;
  expect_scores(engine.run(p, params), *p);
}

TEST(PromptScores, WhatIsNotANumberEndsTheRequestAlone) {
  ToyEngine engine(small_config());
  engine.controls().nan_after = 20;
  const auto bad = engine.submit(prompt(counting(40)), scoring(greedy(5)));
  const auto good = prompt(counting(15));
  const auto beside = engine.submit(good, scoring(greedy(0)));
  const Answer failed = bad.wait();
  EXPECT_EQ(failed.reason, FinishReason::kError);
  EXPECT_EQ(failed.error->code, "numeric_fault");
  expect_scores(beside.wait(), *good);
}

TEST(PromptScores, MoreAlternativesThanTheDeviceGivesAreRefused) {
  ToyEngine engine(small_config());
  const auto refused =
      engine.try_submit(prompt(counting(4)), scoring(greedy(1), 21), std::make_shared<Collector>());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().param, "prompt_logprobs");
}

}  // namespace
}  // namespace ernie::engine::toy
