#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "grammar/compiled_grammar.h"
#include "grammar/grammar_compiler.h"
#include "grammar/grammar_matcher.h"

// What the engine does for a step of 64 answers that follow a grammar: their masks, by so many
// threads, and their tokens, by one. The vocabulary is invented: half of the words begin with a
// space, one in a hundred has a quotation mark.
namespace ernie::grammar {
namespace {

constexpr size_t kVocab = 103'424;
constexpr size_t kAnswers = 64;

// With the whitespace that the server allows.
GrammarSpec schema() {
  GrammarSpec spec{GrammarKind::kJsonSchema,
                   R"({"type": "array", "minItems": 100, "items": {"type": "object", "properties": {
                      "name": {"type": "string"}, "count": {"type": "integer"}}, "required":
                      ["name", "count"], "additionalProperties": false}})"};
  spec.whitespace = R"(( |\n{1,2}[ \t]{0,24})?)";
  return spec;
}

// As people write them: nobody knows what follows `ws`, so its masks are not known ahead.
GrammarSpec written_by_hand() {
  return {GrammarKind::kEbnf, R"(
root ::= "[" ws record ("," ws record){100} "]"
record ::= "{" ws "\"name\":" ws "\"" [^"\\]* "\"," ws "\"count\":" ws [0-9]{1,9} ws "}" ws
ws ::= [ \t\n]*
)"};
}

Vocabulary invented_words() {
  std::mt19937_64 random(5);
  Vocabulary vocabulary{{""}, {0}};
  for (int byte = 0; byte < 256; ++byte) vocabulary.bytes.emplace_back(1, static_cast<char>(byte));
  for (char letter = 'a'; letter <= 'z'; ++letter) vocabulary.bytes.push_back({' ', letter});
  while (vocabulary.bytes.size() < kVocab) {
    std::string word(random() % 2, ' ');
    for (size_t length = 4 + random() % 7; length > 0; --length) {
      word += static_cast<char>('a' + random() % 26);
    }
    if (random() % 100 == 0) word += '"';
    vocabulary.bytes.push_back(std::move(word));
  }
  return vocabulary;
}

struct Answer {
  explicit Answer(const std::shared_ptr<const CompiledGrammar>& grammar)
      : matcher(grammar), mask(GrammarMatcher::mask_words(kVocab)) {}
  GrammarMatcher matcher;
  std::vector<uint32_t> mask;
  Status status;
  int32_t drawn = 0;
};

// Any of those that the mask allows.
int32_t draw(const std::vector<uint32_t>& mask, std::mt19937_64& random) {
  for (size_t token = random() % kVocab;; token = (token + 1) % kVocab) {
    if ((mask[token / 32] >> (token % 32) & 1) != 0) return static_cast<int32_t>(token);
  }
}

double microseconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

void masks_of_a_step(benchmark::State& state, const GrammarSpec& spec) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  GrammarCompiler compiler(invented_words(), size_t{1} << 30);
  const auto grammar = compiler.compile(spec, std::atomic<bool>{false});
  if (!grammar) return state.SkipWithError(grammar.error().message.c_str());
  std::vector<Answer> answers;
  for (size_t i = 0; i < kAnswers; ++i) answers.emplace_back(*grammar);
  std::mt19937_64 random(7);
  std::vector<double> fill, accept;
  for (auto _ : state) {
    fill.push_back(microseconds_of([&] {
      pool.parallel_for(kAnswers, [&](int64_t i, int) {
        answers[i].status = answers[i].matcher.fill_mask(answers[i].mask);
      });
    }));
    for (Answer& answer : answers) {
      if (!answer.status) return state.SkipWithError(answer.status.error().message.c_str());
      answer.drawn = draw(answer.mask, random);
    }
    accept.push_back(microseconds_of([&] {
      for (Answer& answer : answers) answer.matcher.accept(answer.drawn);
    }));
    state.SetIterationTime(1e-6 * fill.back());
  }
  state.counters["median_fill_us"] = median(fill);
  state.counters["median_accept_us"] = median(accept);
}

void threads(benchmark::internal::Benchmark* bench) {
  bench->RangeMultiplier(2)->Range(1, 8)->Unit(benchmark::kMicrosecond)->UseManualTime();
  bench->Iterations(200);
}
BENCHMARK_CAPTURE(masks_of_a_step, schema, schema())->Apply(threads);
BENCHMARK_CAPTURE(masks_of_a_step, by_hand, written_by_hand())->Apply(threads);

}  // namespace
}  // namespace ernie::grammar
