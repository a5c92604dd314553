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
  SamplingParams params = greedy(10, {5, 6});
  params.min_tokens = 2;
  params.bad_token_ids = {9};
  SequenceSampler sampler(*prompt({1}), params);
  const auto banned = [&](bool one_is_pending) {
    const SampleSpec spec = sampler.next(one_is_pending);
    return std::vector<int32_t>(spec.row.banned_tokens.begin(), spec.row.banned_tokens.end());
  };
  EXPECT_EQ(banned(false), (std::vector<int32_t>{5, 6, 9}));
  EXPECT_FALSE(sampler.accept(1));
  EXPECT_EQ(banned(false), (std::vector<int32_t>{5, 6, 9}));
  EXPECT_EQ(banned(true), (std::vector<int32_t>{9}));
  EXPECT_FALSE(sampler.accept(5));
  EXPECT_EQ(banned(false), (std::vector<int32_t>{9}));
  EXPECT_TRUE(sampler.accept(5));
}

TEST(SequenceSampler, PositionCountsGeneratedTokensKnownOrNot) {
  SequenceSampler sampler(*prompt(counting(30)), greedy(10));
  sampler.accept(4);
  sampler.accept(4);
  EXPECT_EQ(sampler.next().row.position, 2u);
  EXPECT_EQ(sampler.next(true).row.position, 3u);
}

TEST(SequenceSampler, BiasesOfOneTokenAddUp) {
  SamplingParams params = greedy(10);
  params.logit_bias = {{7, 1.5f}, {3, 1}, {7, 2}};
  const SampleSpec spec = SequenceSampler(*prompt({1}), params).next();
  ASSERT_EQ(spec.row.biases.size(), 2u);
  EXPECT_EQ(spec.row.biases[0].token, 3);
  EXPECT_EQ(spec.row.biases[1].token, 7);
  EXPECT_EQ(spec.row.biases[1].bias, 3.5f);
}

TEST(SequenceSampler, PenaltiesCountPromptAndAnswer) {
  SamplingParams params = greedy(10);
  const auto counts = [&] {
    SequenceSampler sampler(*prompt({2, 1, 2}), params);
    for (const int32_t token : {8, 2, 8}) sampler.accept(token);
    const SampleSpec spec = sampler.next();
    std::vector<std::pair<int32_t, int32_t>> out;
    for (const auto& [token, in_output] : spec.row.counts) out.emplace_back(token, in_output);
    return out;
  };
  EXPECT_TRUE(counts().empty());
  params.options.repetition_penalty = 1.2f;
  EXPECT_EQ(counts(), (std::vector<std::pair<int32_t, int32_t>>{{1, 0}, {2, 1}, {8, 2}}));
}

SamplingParams thinking(int budget) {
  SamplingParams params = greedy(20);
  params.thinking = {.max_tokens = budget, .end_token = 2, .forced_tokens = {60, 2, 61}};
  return params;
}

TEST(SequenceSampler, ForcesTheEndOfThinkingAtTheBudget) {
  SequenceSampler sampler(*prompt({1}), thinking(3));
  std::vector<int32_t> forced;
  std::vector<bool> waits;
  for (int i = 0; i < 8; ++i) {
    forced.push_back(sampler.next().row.forced_token);
    waits.push_back(sampler.next_but_one_waits());
    sampler.accept(forced.back() >= 0 ? forced.back() : 10);
  }
  EXPECT_EQ(forced, (std::vector<int32_t>{-1, -1, -1, 60, 2, 61, -1, -1}));
  EXPECT_EQ(waits, (std::vector<bool>{false, false, true, false, false, false, false, false}));
}

TEST(SequenceSampler, ForcesNothingWhenThinkingEndedByItself) {
  SequenceSampler sampler(*prompt({1}), thinking(3));
  for (const int32_t token : {10, 2, 10}) sampler.accept(token);
  EXPECT_EQ(sampler.next().row.forced_token, -1);
  EXPECT_FALSE(sampler.next_but_one_waits());
}

// The same through the engine, where the token before may still be on its way.
TEST(SequenceSampler, ThinkingBudgetIsExactWhateverTheEngineDoes) {
  const auto p = prompt(counting(12));
  const auto free_run = toy::expected(*p, 20);
  for (const int steps_in_flight : {1, 2}) {
    EngineConfig config = toy::small_config();
    config.steps_in_flight = steps_in_flight;
    toy::ToyEngine engine(config);
    SamplingParams params = thinking(4);
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
  SamplingParams params = greedy(20, {free_run[2]});
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
