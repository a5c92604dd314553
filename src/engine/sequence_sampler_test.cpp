#include "engine/sequence_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/test_support.h"

namespace ernie::engine {
namespace {

using toy::counting;
using toy::greedy;
using toy::prompt;

TEST(SequenceSampler, BansStopTokensBeforeMinTokens) {
  sched::SamplingParams params = greedy(10, {5, 6});
  params.min_tokens = 2;
  params.bad_token_ids = {9};
  SequenceSampler sampler(prompt({1}), params);
  const auto banned = [&](std::vector<int32_t> outputs) {
    const SampleSpec spec = sampler.next(outputs);
    return std::vector<int32_t>(spec.row.banned_tokens.begin(), spec.row.banned_tokens.end());
  };
  EXPECT_EQ(banned({}), (std::vector<int32_t>{9, 5, 6}));
  EXPECT_EQ(banned({1}), (std::vector<int32_t>{9, 5, 6}));
  EXPECT_EQ(banned({1, 1}), (std::vector<int32_t>{9}));
  EXPECT_FALSE(sampler.accept(5, 1));
  EXPECT_TRUE(sampler.accept(5, 2));
}

TEST(SequenceSampler, PositionCountsGeneratedTokensKnownOrNot) {
  SequenceSampler sampler(prompt(counting(30)), greedy(10));
  const std::vector<int32_t> two = {4, 4};
  EXPECT_EQ(sampler.next(two).row.position, 2u);
  EXPECT_EQ(sampler.next(two, 0).row.position, 3u);
}

TEST(SequenceSampler, PenaltiesSeePromptAndAnswer) {
  sched::SamplingParams params = greedy(10);
  const std::vector<int32_t> outputs = {8, 9};
  EXPECT_TRUE(SequenceSampler(prompt({1, 2}), params).next(outputs).row.prompt_tokens.empty());
  params.repetition_penalty = 1.2f;
  const SampleSpec spec = SequenceSampler(prompt({1, 2}), params).next(outputs);
  EXPECT_TRUE(std::ranges::equal(spec.row.prompt_tokens, std::vector{1, 2}));
  EXPECT_TRUE(std::ranges::equal(spec.row.output_tokens, outputs));
}

sched::SamplingParams thinking(int budget) {
  sched::SamplingParams params = greedy(20);
  params.thinking = {.max_tokens = budget, .end_token = 2, .forced_tokens = {60, 2, 61}};
  return params;
}

TEST(SequenceSampler, ForcesTheEndOfThinkingAtTheBudget) {
  SequenceSampler sampler(prompt({1}), thinking(3));
  std::vector<int32_t> outputs;
  std::vector<int32_t> forced;
  for (int i = 0; i < 8; ++i) {
    forced.push_back(sampler.next(outputs).row.forced_token);
    outputs.push_back(forced.back() >= 0 ? forced.back() : 10);
    sampler.accept(outputs.back(), i);
  }
  EXPECT_EQ(forced, (std::vector<int32_t>{-1, -1, -1, 60, 2, 61, -1, -1}));
}

TEST(SequenceSampler, ForcesNothingWhenThinkingEndedByItself) {
  SequenceSampler sampler(prompt({1}), thinking(3));
  sampler.accept(10, 0);
  sampler.accept(2, 1);
  sampler.accept(10, 2);
  const std::vector<int32_t> outputs = {10, 2, 10};
  EXPECT_EQ(sampler.next(outputs).row.forced_token, -1);
}

// The same through the engine, where the token before may still be on its way.
TEST(SequenceSampler, ThinkingBudgetIsExactWhateverTheEngineDoes) {
  const auto p = prompt(counting(12));
  const auto free_run = toy::expected(*p, 20);
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = toy::small_config();
    config.steps_in_flight = steps_in_flight;
    toy::ToyEngine engine(config);
    sched::SamplingParams params = thinking(4);
    const auto answer = engine.run(p, params).tokens;
    EXPECT_TRUE(std::equal(answer.begin(), answer.begin() + 4, free_run.begin()));
    EXPECT_EQ(std::vector(answer.begin() + 4, answer.begin() + 7), (std::vector{60, 2, 61}));
    // It ends by itself with the last token inside the budget: nothing is forced.
    params.thinking.end_token = free_run[3];
    ASSERT_EQ(std::count(free_run.begin(), free_run.begin() + 3, free_run[3]), 0);
    EXPECT_EQ(engine.run(p, params).tokens, free_run);
  }
}

TEST(SequenceSampler, MinTokensAndBadWordsHoldThroughTheEngine) {
  const auto p = prompt(counting(12));
  const auto free_run = toy::expected(*p, 20);
  toy::ToyEngine engine(toy::small_config());
  sched::SamplingParams params = greedy(20, {free_run[2]});
  const auto stop = std::ranges::find(free_run, free_run[2]);
  EXPECT_EQ(engine.run(p, params).tokens, std::vector(free_run.begin(), stop + 1));
  params.min_tokens = 6;
  const auto longer = engine.run(p, params).tokens;
  EXPECT_GE(longer.size(), 7u);
  EXPECT_EQ(std::count(longer.begin(), longer.begin() + 6, free_run[2]), 0);
  params = greedy(20);
  params.bad_token_ids = {free_run[0]};
  const auto without = engine.run(p, params).tokens;
  EXPECT_EQ(std::ranges::count(without, free_run[0]), 0);
}

}  // namespace
}  // namespace ernie::engine
