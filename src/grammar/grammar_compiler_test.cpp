#include "grammar/grammar_compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "grammar/test_support.h"

namespace ernie::grammar {
namespace {

TEST(GrammarCompiler, KeepsGrammarsByTheirContent) {
  GrammarCompiler compiler(byte_vocabulary(), kMemory);
  const auto first = compiler.compile(regex_spec("a+"), kNotCancelled);
  const auto again = compiler.compile(regex_spec("a+"), kNotCancelled);
  const auto other = compiler.compile({GrammarKind::kEbnf, "root ::= \"a\"+"}, kNotCancelled);
  ASSERT_TRUE(first && again && other);
  EXPECT_EQ(*first, *again);
  EXPECT_NE(*first, *other);
  // A schema's strictness and whitespace count, too.
  const auto schema = compiler.compile(schema_spec("{\"type\": \"null\"}"), kNotCancelled);
  const auto strict = compiler.compile(schema_spec("{\"type\": \"null\"}", true), kNotCancelled);
  EXPECT_NE(*schema, *strict);
}

// A72
TEST(GrammarCompiler, TheCacheIsBoundedAndForgetsTheLongestUnused) {
  const auto spec = [](int i) { return regex_spec(fmt::format("x{}[a-z]*", i)); };
  size_t bytes = 0;
  {
    GrammarCompiler measured(byte_vocabulary(), kMemory);
    bytes = (*measured.compile(spec(0), kNotCancelled))->bytes();
  }
  GrammarLimits limits;
  limits.work_bytes = 0;
  GrammarCompiler compiler(byte_vocabulary(), 4 * bytes + bytes / 2, limits);
  const auto kept = *compiler.compile(spec(0), kNotCancelled);
  for (int i = 1; i < 200; ++i) {
    ASSERT_TRUE(compiler.compile(spec(i), kNotCancelled));
    EXPECT_LE(compiler.used_bytes(), 4 * bytes + bytes / 2);
    EXPECT_EQ(*compiler.compile(spec(0), kNotCancelled), kept);  // used each time
  }
  const auto last = *compiler.compile(spec(199), kNotCancelled);
  EXPECT_EQ(*compiler.compile(spec(199), kNotCancelled), last);
  EXPECT_NE(*compiler.compile(spec(1), kNotCancelled), nullptr);
}

// A72
TEST(GrammarCompiler, GrammarsInUseLeaveNoRoomForMore) {
  const auto spec = [](char last) { return regex_spec(std::string("[a-z]{40}") + last); };
  const size_t bytes =
      (*GrammarCompiler(byte_vocabulary(), kMemory).compile(spec('0'), kNotCancelled))->bytes();
  GrammarLimits limits;
  limits.work_bytes = 0;
  GrammarCompiler compiler(byte_vocabulary(), 2 * bytes + bytes / 2, limits);
  auto first = compiler.compile(spec('0'), kNotCancelled);
  const auto second = compiler.compile(spec('1'), kNotCancelled);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(compiler.used_bytes(), 2 * bytes);
  const auto refused = compiler.compile(spec('2'), kNotCancelled);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kRateLimited);
  EXPECT_EQ(refused.error().code, "too_many_grammars");
  EXPECT_EQ(compiler.used_bytes(), 2 * bytes) << "what it took while it was compiled is given back";
  EXPECT_TRUE(compiler.compile(spec('1'), kNotCancelled)) << "the same grammar takes no more room";
  first = compiler.compile(spec('1'), kNotCancelled);  // lets the first one go
  EXPECT_TRUE(compiler.compile(spec('2'), kNotCancelled));
  GrammarCompiler small(byte_vocabulary(), bytes / 2, limits);
  EXPECT_EQ(small.compile(spec('0'), kNotCancelled).error().code, "grammar_too_complex");
}

// A72
TEST(GrammarCompiler, CompilingTakesItsShareToo) {
  const GrammarSpec spec{GrammarKind::kEbnf, "root ::= \"a\""};
  GrammarLimits limits;
  limits.work_bytes = 1'000;
  const size_t work = 1'000 * spec.text.size();
  GrammarCompiler compiler(byte_vocabulary(), 2 * work, limits);
  const auto compiled = compiler.compile(spec, kNotCancelled);
  ASSERT_TRUE(compiled) << compiled.error().message;
  EXPECT_EQ(compiler.used_bytes(), (*compiled)->bytes()) << "the rest is given back";
  GrammarCompiler small(byte_vocabulary(), work - 1, limits);
  EXPECT_EQ(small.compile(spec, kNotCancelled).error().code, "grammar_too_complex");
}

TEST(GrammarCompiler, ManyThreadsCompileAtOnce) {
  GrammarCompiler compiler(byte_vocabulary(), kMemory);
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const auto good =
            compiler.compile(regex_spec(fmt::format("a{{{}}}", i + 1)), kNotCancelled);
        const auto bad = compiler.compile(regex_spec(fmt::format("(a{}{}", t, i)), kNotCancelled);
        if (!good || bad) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

// A71
TEST(GrammarCompiler, EndsWhenTheRequestIsGivenUp) {
  GrammarCompiler compiler(byte_vocabulary(), kMemory);
  const std::atomic<bool> cancelled{true};
  const auto result = compiler.compile(regex_spec("abc"), cancelled);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kTimeout);
  EXPECT_TRUE(compiler.compile(regex_spec("abc"), kNotCancelled));
}

// A69, A71
TEST(GrammarCompiler, EndsWhereALimitIsReached) {
  GrammarLimits limits;
  limits.states = 20;
  const Language states(regex_spec("[a-z]{60}"), limits);
  EXPECT_EQ(states.code(), "grammar_too_complex");
  EXPECT_EQ(states.error(), "the grammar has more than 20 states");
  limits = {};
  limits.time = std::chrono::milliseconds(0);
  EXPECT_EQ(Language(regex_spec("[a-z]{60}"), limits).code(), "grammar_too_complex");
  limits = {};
  limits.compiled_bytes = 100;
  EXPECT_EQ(Language(regex_spec("[a-z]{60}"), limits).error(),
            "the compiled grammar takes more than 100 bytes");
  limits = {};
  limits.text_bytes = 10;
  EXPECT_EQ(Language(regex_spec("abcdefghijklm"), limits).code(), "grammar_too_complex");
}

TEST(GrammarCompiler, ErrorsOfTheParserAreTheClients) {
  const auto error = [](std::string ebnf) {
    return Language({GrammarKind::kEbnf, std::move(ebnf)}).error();
  };
  EXPECT_EQ(error("root ::= a"),
            "the grammar cannot be compiled: EBNF parser error at line 1, column 10: Rule \"a\" is "
            "not defined");
  EXPECT_NE(error("start ::= \"a\""), "");
  EXPECT_NE(error(""), "");
  EXPECT_NE(error("root ::= \"a"), "");
  EXPECT_NE(error("root ::= [z-a]"), "");
  EXPECT_EQ(error("root ::= \u4f60"),
            "the grammar cannot be compiled: EBNF lexer error at line 1, column 10: Unexpected "
            "character: \uFFFD");
  EXPECT_EQ(error("root ::= root"), "no answer that the model can write matches the grammar");
}

TEST(GrammarCompiler, AChoiceMayHoldAnyText) {
  const Language choice({GrammarKind::kChoice, "", {"yes", "a\n\"b\\", "[]{}()|*", "日本 x1"}});
  ASSERT_TRUE(choice.ok()) << choice.error();
  for (const char* text : {"yes", "a\n\"b\\", "[]{}()|*", "日本 x1"}) EXPECT_TRUE(choice.has(text));
  EXPECT_FALSE(choice.has("ye"));
  EXPECT_FALSE(choice.has("no"));
  EXPECT_FALSE(Language({GrammarKind::kChoice, "", {}}).ok());
  EXPECT_FALSE(Language({GrammarKind::kChoice, "", {""}}).ok());
  EXPECT_FALSE(Language({GrammarKind::kChoice, "", {"\xFF"}}).ok());
}

TEST(GrammarCompiler, EbnfIsGbnf) {
  const Language ebnf({GrammarKind::kEbnf,
                       "# a comment (\n"
                       "root ::= \"a\" (b | [x-z])* \"]\" \"\\n\"?\n"
                       "b ::= \"bb\"{2,3}\n"});
  ASSERT_TRUE(ebnf.ok()) << ebnf.error();
  EXPECT_TRUE(ebnf.has("a]"));
  EXPECT_TRUE(ebnf.has("abbbbxyz]\n"));
  EXPECT_FALSE(ebnf.has("abb]"));
}

TEST(GrammarCompiler, EbnfHasNoMacrosAndAttributes) {
  for (const char* bad :
       {"root ::= Token(3)", "root ::= TagDispatch((\"a\", root))", "root ::= Regex(\"a\")",
        "root[temperature=0] ::= \"a\"", "root [ a ] ::= \"a\"", "root ::= \"a\"{1,1000000}"}) {
    EXPECT_FALSE(Language({GrammarKind::kEbnf, bad}).ok()) << bad;
  }
  EXPECT_FALSE(Language({GrammarKind::kEbnf, std::string("root ::= \"a\" \0 b", 16)}).ok());
  const Language quoted({GrammarKind::kEbnf, "root ::= \"Token(3)\" [T{99999}]"});
  EXPECT_TRUE(quoted.ok()) << quoted.error();
}

}  // namespace
}  // namespace ernie::grammar
