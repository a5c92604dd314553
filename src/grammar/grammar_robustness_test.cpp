// Hostile specs: each ends with a grammar or an error, soon, and nothing ends the process.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "grammar/number_range.h"
#include "grammar/test_support.h"

namespace ernie::grammar {
namespace {

std::string repeated(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// Text out of pieces that mean something in one of the notations, and of any bytes.
rc::Gen<std::string> hostile_text() {
  static const std::vector<std::string> pieces = {
      "root ::= ", "root",   "\n",        "a ::= ",
      "\"",        "\\",     "(",         ")",
      "[",         "]",      "{",         "}",
      "{2,",       "*",      "+",         "?",
      "|",         "^",      "$",         "-",
      "\\d",       "\\u",    "(?=",       "a",
      "b",         ",",      ":",         "é",
      "\xFF",      "#",      "\"type\"",  "\"properties\"",
      "\"$ref\"",  "\"#\"",  "\"anyOf\"", "\"string\"",
      "true",      "1e9",    "\"items\"", "\"enum\"",
      "::=",       "=",      "(=",        "{1,99999999999}",
      "\x01",      "Token(", ".",         "\\"};
  return rc::gen::map(
      rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, pieces.size())),
      [](const std::vector<size_t>& indices) {
        std::string text;
        for (const size_t index : indices) text += pieces[index];
        return text;
      });
}

// A71
TEST(GrammarRobustness, AnyTextEndsWithAGrammarOrAnError) {
  rc::check("every kind of spec", [] {
    const auto text = *hostile_text();
    for (const GrammarKind kind : {GrammarKind::kJsonSchema, GrammarKind::kRegex,
                                   GrammarKind::kEbnf, GrammarKind::kStructuralTag}) {
      const Language language({kind, text});
      RC_ASSERT(language.ok() || !language.error().empty());
    }
    const Language rule({GrammarKind::kEbnf, "root ::= " + text});
    RC_ASSERT(rule.ok() || !rule.error().empty());
  });
}

// A69, A71
TEST(GrammarRobustness, DeepAndLongTexts) {
  const std::vector<GrammarSpec> specs = {
      {GrammarKind::kRegex, repeated("(", 30'000)},
      {GrammarKind::kRegex, repeated("a|", 100'000)},
      {GrammarKind::kRegex, "((((a{100}){100}){100}){100})"},
      {GrammarKind::kRegex, "(a|b)*a(a|b){20}"},
      {GrammarKind::kRegex, "(.*.*.*.*=){50}"},
      {GrammarKind::kEbnf, "root ::= " + repeated("(", 30'000)},
      {GrammarKind::kEbnf, "root ::= " + repeated("[", 30'000)},
      {GrammarKind::kEbnf, "root ::= \"a\"" + repeated(" | \"a\"", 30'000)},
      {GrammarKind::kEbnf, "root ::= " + repeated("(\"a\"{128} ", 20) + repeated("){128}", 20)},
      {GrammarKind::kEbnf, "root ::= root root | \"a\" | \"\""},
      {GrammarKind::kEbnf, "root ::= \"z\"" + repeated(" \"a\"?", 170'000)},
      {GrammarKind::kEbnf, "root ::= \"z\"" + repeated(" ((\"a\" | \"b\") \"c\")", 50'000)},
      {GrammarKind::kJsonSchema, repeated("[", 30'000)},
      {GrammarKind::kJsonSchema, repeated("{\"anyOf\":[", 90) + "{}" + repeated("]}", 90)},
      {GrammarKind::kStructuralTag, repeated("{\"format\":", 30'000)},
  };
  GrammarLimits limits;
  limits.time = std::chrono::seconds(2);
  for (const GrammarSpec& spec : specs) {
    const Language language(spec, limits);
    EXPECT_TRUE(language.ok() || !language.error().empty()) << spec.text.substr(0, 60);
  }
}

// Reading and rewriting have a deadline too, not only masks: what is given up ends before the error
// that lies behind them.
TEST(GrammarRobustness, ReadingAGrammarCanBeGivenUp) {
  const std::atomic<bool> cancelled = true;
  const GrammarSpec spec{GrammarKind::kEbnf, "root ::= \"a\" missing"};
  GrammarCompiler compiler(byte_vocabulary(), kMemory);
  EXPECT_EQ(compiler.compile(spec, cancelled).error().code, "cancelled");
  EXPECT_EQ(compiler.compile(spec, kNotCancelled).error().kind, ErrorKind::kInvalidArgument);
}

// A grammar of one line, every step of which takes longer than the one before.
TEST(GrammarRobustness, WhatIsTooAmbiguousToBeFollowedIsRefused) {
  Vocabulary words{{""}, {0}};
  for (int i = 0; i < 4'000; ++i) {
    words.bytes.push_back(std::string(1, static_cast<char>('a' + i % 26)) +
                          repeated("xyz", 1 + i % 7) + std::to_string(i));
  }
  const auto compile = [&](const char* rules) {
    return GrammarCompiler(words, kMemory).compile({GrammarKind::kEbnf, rules}, kNotCancelled);
  };
  const auto refused = compile("root ::= a\na ::= a a | [a-z0-9]");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "grammar_too_complex");
  EXPECT_TRUE(compile("root ::= [a-z0-9]+"));
}

// What is quick at first and slow later ends the answer, not the thread that follows it.
TEST(GrammarRobustness, AnAnswerThatBecomesTooSlowEnds) {
  const auto compiled =
      GrammarCompiler(byte_vocabulary(), kMemory)
          .compile({GrammarKind::kEbnf, "root ::= [0-9]{60} a\na ::= a a | [a-z]"}, kNotCancelled);
  ASSERT_TRUE(compiled) << compiled.error().message;
  GrammarMatcher matcher(*compiled);
  std::vector<uint32_t> mask(GrammarMatcher::mask_words(byte_vocabulary().bytes.size()));
  const auto step = [&](char byte) {
    return matcher.fill_mask(mask).ok() && matcher.accept(byte_token(byte));
  };
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(step('0')) << i;
  int steps = 0;
  while (steps < 2'000 && step('x')) ++steps;
  EXPECT_LT(steps, 2'000);
  EXPECT_TRUE(matcher.is_too_slow());
  EXPECT_EQ(matcher.fill_mask(mask).error().code, "grammar_too_complex");
  EXPECT_FALSE(matcher.accept(byte_token('x')));
}

TEST(NumberRange, HoldsExactlyTheNumbersBetweenItsBounds) {
  rc::check("two decimals of up to three places", [] {
    const int low = *rc::gen::inRange(-2'500, 2'500);
    const int high = *rc::gen::inRange(-2'500, 2'500);
    const bool exclusive = *rc::gen::arbitrary<bool>();
    const auto decimal = [](int hundredths) { return fmt::format("{:.2f}", hundredths / 100.0); };
    const auto range = number_range(NumberBound{Decimal::parse(decimal(low)), exclusive},
                                    NumberBound{Decimal::parse(decimal(high)), exclusive}, false);
    const auto inside = [&](int value) {
      return exclusive ? low < value && value < high : low <= value && value <= high;
    };
    if (!range) {
      for (int value = -2'600; value < 2'600; ++value) RC_ASSERT(!inside(value));
      return;
    }
    const Language language(
        {GrammarKind::kEbnf, "root ::= " + range->expression + "\n" + digit_rules(range->digits)});
    RC_ASSERT(language.ok());
    for (int value = low - 20; value <= high + 20; value += 7) {
      if (value == 0) continue;
      RC_ASSERT(language.has(decimal(value)) == inside(value));
      RC_ASSERT(language.has(decimal(value) + "0") == inside(value));
    }
    for (const int value : {low - 1, low, low + 1, high - 1, high, high + 1}) {
      if (value != 0) RC_ASSERT(language.has(decimal(value)) == inside(value));
    }
  });
}

}  // namespace
}  // namespace ernie::grammar
