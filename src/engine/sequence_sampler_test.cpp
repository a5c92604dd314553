#include "engine/sequence_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/test_support.h"
#include "grammar/grammar_compiler.h"

namespace ernie::engine {
namespace {

using toy::counting;
using toy::greedy;
using toy::prompt;

TEST(SequenceSampler, BansStopTokensBeforeMinTokens) {
  SamplingParams params = greedy(10, {5, 6});
  params.min_tokens = 2;
  params.bad_token_ids = {9};
  SequenceSampler sampler(*prompt({1}), params, toy::kVocab);
  const auto banned = [&](bool one_is_pending) {
    const SampleSpec spec = sampler.next(one_is_pending);
    return std::vector<int32_t>(spec.row.banned_tokens.begin(), spec.row.banned_tokens.end());
  };
  EXPECT_EQ(banned(false), (std::vector<int32_t>{5, 6, 9}));
  EXPECT_EQ(sampler.accept(1), Accepted::kGoesOn);
  EXPECT_EQ(banned(false), (std::vector<int32_t>{5, 6, 9}));
  EXPECT_EQ(banned(true), (std::vector<int32_t>{9}));
  EXPECT_EQ(sampler.accept(5), Accepted::kGoesOn);
  EXPECT_EQ(banned(false), (std::vector<int32_t>{9}));
  EXPECT_EQ(sampler.accept(5), Accepted::kStops);
}

TEST(SequenceSampler, BansTheEndOfABadWordBehindItsBeginning) {
  SamplingParams params = greedy(20, {5});
  params.min_tokens = 3;
  params.bad_token_ids = {9};
  params.bad_words = {{1, 2, 3}, {4, 2, 6}, {2, 7}, {2, 2}, {1, 2, 9}};
  SequenceSampler sampler(*prompt({1, 2}), params, toy::kVocab);  // what is asked does not count
  std::vector<std::vector<int32_t>> banned;
  for (const int32_t token : {2, 1, 2, 4, 2, 2, 8, 8}) {
    const SampleSpec spec = sampler.next();
    banned.emplace_back(spec.row.banned_tokens.begin(), spec.row.banned_tokens.end());
    EXPECT_TRUE(sampler.next_but_one_waits());
    sampler.accept(token);
  }
  EXPECT_EQ(banned,
            (std::vector<std::vector<int32_t>>{
                {5, 9}, {2, 5, 7, 9}, {5, 9}, {2, 3, 7, 9}, {9}, {2, 6, 7, 9}, {2, 7, 9}, {9}}));
}

// Through the engine, where the token before may still be on its way.
TEST(SequenceSampler, BadWordsNeverComeWhateverTheEngineDoes) {
  const auto p = prompt(counting(12));
  const auto free_run = toy::expected(*p, 20);
  SamplingParams params = greedy(20);
  params.bad_words = {{free_run[4], free_run[5], free_run[6]}, {free_run[0], free_run[1]}};
  std::vector<std::vector<int32_t>> answers;
  for (const int steps_in_flight : {1, 2}) {
    for (const int ranks : {1, 2}) {
      EngineConfig config = toy::small_config();
      config.steps_in_flight = steps_in_flight;
      config.tensor_parallel_size = ranks;
      toy::ToyEngine engine(config);
      answers.push_back(engine.run(p, params).tokens);
      for (const auto& word : params.bad_words) {
        EXPECT_TRUE(std::ranges::search(answers.back(), word).empty());
      }
      SamplingParams third = greedy(20);
      third.bad_words = {params.bad_words[0]};
      const auto later = engine.run(p, third).tokens;
      EXPECT_TRUE(std::equal(later.begin(), later.begin() + 6, free_run.begin()));
      EXPECT_NE(later[6], free_run[6]);
    }
  }
  EXPECT_EQ(answers[0][0], free_run[0]);
  EXPECT_NE(answers[0][1], free_run[1]);
  for (const auto& answer : answers) EXPECT_EQ(answer, answers[0]);
}

TEST(SequenceSampler, PositionCountsGeneratedTokensKnownOrNot) {
  SequenceSampler sampler(*prompt(counting(30)), greedy(10), toy::kVocab);
  sampler.accept(4);
  sampler.accept(4);
  EXPECT_EQ(sampler.next().row.position, 2u);
  EXPECT_EQ(sampler.next(true).row.position, 3u);
}

TEST(SequenceSampler, BiasesOfOneTokenAddUp) {
  SamplingParams params = greedy(10);
  params.logit_bias = {{7, 1.5f}, {3, 1}, {7, 2}};
  const SampleSpec spec = SequenceSampler(*prompt({1}), params, toy::kVocab).next();
  ASSERT_EQ(spec.row.biases.size(), 2u);
  EXPECT_EQ(spec.row.biases[0].token, 3);
  EXPECT_EQ(spec.row.biases[1].token, 7);
  EXPECT_EQ(spec.row.biases[1].bias, 3.5f);
}

TEST(SequenceSampler, PenaltiesCountPromptAndAnswer) {
  SamplingParams params = greedy(10);
  const auto counts = [&] {
    SequenceSampler sampler(*prompt({2, 1, 2}), params, toy::kVocab);
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
  SequenceSampler sampler(*prompt({1}), thinking(3), toy::kVocab);
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
  SequenceSampler sampler(*prompt({1}), thinking(3), toy::kVocab);
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

// Token 0 ends an answer; token t is spelled as the character 48 + t.
std::shared_ptr<const grammar::CompiledGrammar> grammar_of(const std::string& regex) {
  grammar::Vocabulary vocabulary{{""}, {0}};
  for (int t = 1; t < toy::kVocab; ++t) {
    vocabulary.bytes.emplace_back(1, static_cast<char>('0' + t));
  }
  return *grammar::GrammarCompiler(vocabulary, size_t{1} << 30)
              .compile({grammar::GrammarKind::kRegex, regex}, std::atomic<bool>{false});
}

TEST(SequenceSampler, AGrammarIsFollowedWhateverTheEngineDoes) {
  const auto p = prompt(counting(12));
  SamplingParams params = greedy(40, {0});
  params.options.temperature = 2;
  params.grammar = grammar_of("(1|2A|3B{2}){5,8}C");
  std::vector<int32_t> first;
  for (const int steps_in_flight : {1, 2}) {
    for (const int blocks : {64, 8}) {  // with few, sequences push each other out
      EngineConfig config = toy::small_config();
      config.steps_in_flight = steps_in_flight;
      config.max_model_len = 64;
      config.num_gpu_blocks_override = blocks;
      toy::ToyEngine engine(config);
      std::vector<toy::ToyEngine::Running> running;
      for (int i = 0; i < 4; ++i) running.push_back(engine.submit(p, params));
      for (const auto& r : running) {
        const auto answer = r.wait();
        std::string text;
        for (const int32_t token : answer.tokens) text += static_cast<char>('0' + token);
        EXPECT_THAT(text, testing::MatchesRegex("(1|2A|3BB)+C0")) << steps_in_flight;
        EXPECT_EQ(answer.reason, FinishReason::kStop);
        if (first.empty()) first = answer.tokens;
        EXPECT_EQ(answer.tokens, first);
      }
    }
  }
}

TEST(SequenceSampler, AGrammarBeginsBehindItsTokenAndNotInsideWhatIsForced) {
  SamplingParams params = thinking(3);
  params.grammar = grammar_of("55");
  params.grammar_after = 2;
  const auto allowed = [](SequenceSampler& sampler) {
    const SampleSpec spec = sampler.next();
    return spec.row.allowed.empty() ? -1 : static_cast<int>(spec.row.allowed[0]);
  };
  SequenceSampler forced(*prompt({1}), params, toy::kVocab);
  for (const int32_t token : {7, 7, 7, 60, 2, 61}) {
    EXPECT_EQ(allowed(forced), -1);
    EXPECT_EQ(forced.accept(token), Accepted::kGoesOn);
  }
  EXPECT_EQ(allowed(forced), 1 << 5);
  SequenceSampler by_itself(*prompt({1}), params, toy::kVocab);
  by_itself.accept(7);
  by_itself.accept(2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(allowed(by_itself), 1 << 5);
    EXPECT_EQ(by_itself.accept(5), Accepted::kGoesOn);
  }
  EXPECT_EQ(allowed(by_itself), 1);
  EXPECT_EQ(by_itself.accept(0), Accepted::kStops);
}

TEST(SequenceSampler, AThoughtBeforeAGrammarDoesNotEndTheAnswer) {
  SamplingParams params = greedy(20, {0});
  params.grammar = grammar_of("55");
  params.grammar_after = 2;
  SequenceSampler sampler(*prompt({1}), params, toy::kVocab);
  const auto may_end = [&] { return sampler.next().row.banned_tokens.empty(); };
  EXPECT_FALSE(may_end());
  sampler.accept(7);
  EXPECT_FALSE(may_end());
  sampler.accept(2);
  EXPECT_TRUE(may_end()) << "where the grammar allows it";
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
