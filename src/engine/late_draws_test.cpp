// Draws that depend on the step before, said by several threads while the device computes.
#include <gtest/gtest.h>

#include "engine/test_support.h"
#include "grammar/grammar_compiler.h"

namespace ernie::engine {
namespace {

using toy::counting;
using toy::greedy;
using toy::prompt;
using toy::ToyEngine;

// Token 0 ends an answer; the others are characters from '1' on.
std::shared_ptr<const grammar::CompiledGrammar> grammar_of(grammar::GrammarKind kind,
                                                           const std::string& text) {
  grammar::Vocabulary vocabulary{{""}, {0}};
  for (int t = 1; t < toy::kVocab; ++t) {
    vocabulary.bytes.emplace_back(1, static_cast<char>('0' + t));
  }
  return *grammar::GrammarCompiler(vocabulary, size_t{1} << 30)
              .compile({kind, text}, std::atomic<bool>{false});
}

EngineConfig many_at_once(int threads) {
  EngineConfig config = toy::small_config();
  config.steps_in_flight = 2;
  config.late_threads = threads;
  config.max_num_seqs = 64;
  config.num_gpu_blocks_override = 1024;
  return config;
}

SamplingParams following(std::shared_ptr<const grammar::CompiledGrammar> grammar, int max_tokens) {
  SamplingParams params = greedy(max_tokens, {0});
  params.options.temperature = 2;
  params.grammar = std::move(grammar);
  return params;
}

TEST(LateDraws, AnswersDoNotDependOnTheNumberOfThreads) {
  const auto shared = grammar_of(grammar::GrammarKind::kRegex, "(1|2A|3B{2}){5,12}C");
  std::vector<std::vector<int32_t>> first;
  for (const int threads : {1, 2, 8}) {
    ToyEngine engine(many_at_once(threads));
    std::vector<ToyEngine::Running> running;
    for (int i = 0; i < 64; ++i) {
      SamplingParams params = following(i % 3 == 0 ? nullptr : shared, 30);
      params.options.seed = i;
      if (i % 2 == 0) params.options.frequency_penalty = 0.5f;
      running.push_back(engine.submit(prompt(counting(8 + i % 5, i)), params));
    }
    std::vector<std::vector<int32_t>> answers;
    for (const auto& r : running) answers.push_back(r.wait().tokens);
    if (first.empty()) first = answers;
    EXPECT_EQ(answers, first) << threads;
  }
}

TEST(LateDraws, AnAnswerThatCannotBeFollowedEndsAlone) {
  const auto good = grammar_of(grammar::GrammarKind::kRegex, "[A-Z]{60}");
  const auto slow =
      grammar_of(grammar::GrammarKind::kEbnf, "root ::= [1-9]{60} a\na ::= a a | [A-Z]");
  EngineConfig config = many_at_once(4);
  config.max_model_len = 2048;
  ToyEngine engine(config);
  SamplingParams params = following(slow, 2000);
  params.min_tokens = 2000;
  const auto bad = engine.submit(prompt(counting(8)), params);
  std::vector<ToyEngine::Running> running;
  for (int i = 1; i < 64; ++i) {
    running.push_back(engine.submit(prompt(counting(8, i)), following(good, 240)));
  }
  for (const auto& r : running) {
    const toy::Answer answer = r.wait();
    EXPECT_EQ(answer.reason, FinishReason::kStop);
    EXPECT_EQ(answer.tokens.size(), 61u);
  }
  const toy::Answer answer = bad.wait();
  ASSERT_TRUE(answer.error) << answer.tokens.size();
  EXPECT_EQ(answer.error->code, "grammar_too_complex");
  EXPECT_TRUE(engine->stats().healthy);
}

TEST(LateDraws, TheEngineStopsWhileTheyAreSaid) {
  const auto grammar = grammar_of(grammar::GrammarKind::kRegex, "[A-Z]+");
  for (int run = 0; run < 20; ++run) {
    ToyEngine engine(many_at_once(4));
    std::vector<ToyEngine::Running> running;
    for (int i = 0; i < 64; ++i) {
      running.push_back(engine.submit(prompt(counting(8, i)), following(grammar, 200)));
    }
    running[run].sink->wait_for_tokens(1 + run);
    engine.stop();
    for (const auto& r : running) EXPECT_TRUE(r.sink->finished());
  }
}

}  // namespace
}  // namespace ernie::engine
