#include "grammar/regex.h"

#include <gtest/gtest.h>

#include "grammar/test_support.h"

namespace ernie::grammar {
namespace {

struct Case {
  const char* pattern;
  std::vector<std::string> in;
  std::vector<std::string> out;
};

TEST(Regex, MatchesTheWholeText) {
  const Case cases[] = {
      {"abc", {"abc"}, {"ab", "abcd", ""}},
      {"^a|b$", {"a", "b"}, {"ab", ""}},
      {"(?:a|bc)+?", {"a", "bca"}, {"", "b"}},
      {"(?<n>x)(?P<m>y)", {"xy"}, {"x"}},
      {"a{2}b{1,}c{0,2}", {"aab", "aabbcc"}, {"ab", "aabccc", "aac"}},
      {"[^a-c]", {"d", "日", "\n"}, {"a", "", "dd"}},
      {"[\\d_\\-x]+", {"1_-x"}, {"y", ""}},
      {"[a\\]-]+", {"a]-"}, {"b"}},
      {".", {"a", "é", "😀"}, {"\n", "\r", "ab"}},
      {"\\w\\s\\S\\D", {"a\t!x"}, {"! !x", "a !1", "a  x"}},
      {"\\x41\\u0042\\u{1F600}\\uD83D\\uDE00", {"AB😀😀"}, {"AB😀"}},
      {"\\.\\*\\/\\$\\^", {".*/$^"}, {"a*/$^"}},
      {"a?", {"", "a"}, {"aa"}},
      {"(a+)+$", {"a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, {"", "b"}},
      {"^$", {""}, {"a"}},
      {"(a{3}){2}", {"aaaaaa"}, {"aaaaa", "aaaaaaa"}},
      {"(|a)b", {"b", "ab"}, {"a"}},
      {"a{0}b", {"b"}, {"ab"}},
      {"[\"\\\\]x", {"\"x", "\\x"}, {"x"}},
  };
  for (const Case& test : cases) {
    const Language language(regex_spec(test.pattern));
    ASSERT_TRUE(language.ok()) << test.pattern << ": " << language.error();
    for (const auto& text : test.in) EXPECT_TRUE(language.has(text)) << test.pattern << " " << text;
    for (const auto& text : test.out) {
      EXPECT_FALSE(language.has(text)) << test.pattern << " " << text;
    }
  }
}

TEST(Regex, RefusesWhatTheDialectsDoNotShareOrAGrammarCannotSay) {
  for (const char* pattern :
       {"(?=a)",   "(?!a)",       "(?<=a)b",     "(?<!a)b", "(?i)a", "(?>a)",  "(a)\\1",
        "\\k<n>",  "\\bword\\b",  "a^b",         "a$b",     "(a$)+", "\\p{L}", "(",
        ")",       "(a",          "[a",          "[]",      "[]a]",  "[^]",    "[z-a]",
        "[a-\\d]", "a**",         "a{2}{3}",     "a*+",     "*a",    "+",      "?",
        "a{3,1}",  "a{,3}",       "a{x}",        "{",       "\\",    "\\q",    "\\u12",
        "\\uD800", "\\u{110000}", "[[:alpha:]]", "^*",      "\xFF",  "\\0",    "\\cA",
        "(?P>n)",  "(?<n",        "\\x4"}) {
    const auto regex = parse_regex(pattern, {});
    EXPECT_FALSE(regex.ok()) << pattern;
  }
}

TEST(Regex, ErrorsSayWhere) {
  EXPECT_EQ(parse_regex("ab(?=c)", {}).error().message,
            "look-around, a flag or another special group at byte 4 of the pattern is not "
            "supported");
  EXPECT_EQ(parse_regex("(a)\\1", {}).error().message,
            "\\1 at byte 4 of the pattern is not supported");
  EXPECT_EQ(parse_regex("x(^a)", {}).error().message,
            "^ elsewhere than at the beginning of the pattern is not supported");
}

// A71
TEST(Regex, LimitsNestingAndCounts) {
  const std::string open(30'000, '(');
  const auto deep = parse_regex(open, {});
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code, "grammar_too_complex");
  const auto many = parse_regex("a{1,1000000}", {});
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, "grammar_too_complex");
  EXPECT_FALSE(parse_regex("a{99999999999999999999999}", {}));
}

}  // namespace
}  // namespace ernie::grammar
