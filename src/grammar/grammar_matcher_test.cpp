#include "grammar/grammar_matcher.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "grammar/test_support.h"
#include "text/test_support.h"

namespace ernie::grammar {
namespace {

GrammarMatcher match(const Vocabulary& vocabulary, const GrammarSpec& spec) {
  auto grammar = GrammarCompiler(vocabulary, kMemory).compile(spec, kNotCancelled);
  EXPECT_TRUE(grammar) << grammar.error().message;
  return GrammarMatcher(*grammar);
}

GrammarSpec choice(std::vector<std::string> choices) {
  return {GrammarKind::kChoice, "", std::move(choices)};
}

// A70
TEST(GrammarMatcher, AllowsExactlyTheTokensThatGoOnToAnAnswer) {
  const Vocabulary vocabulary{{"</s>", "y", "ye", "yes", "es", "s", "n", "no", "x", ""}, {0}};
  GrammarMatcher matcher = match(vocabulary, choice({"yes", "no"}));
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{1, 2, 3, 6, 7}));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{4}));
  EXPECT_FALSE(matcher.is_complete());
  EXPECT_TRUE(matcher.accept(4));
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{0}));
}

TEST(GrammarMatcher, ARefusedTokenChangesNothing) {
  const Vocabulary vocabulary{{"</s>", "a", "b"}, {0}};
  GrammarMatcher matcher = match(vocabulary, choice({"ab"}));
  EXPECT_FALSE(matcher.accept(2));
  EXPECT_FALSE(matcher.accept(0));
  EXPECT_FALSE(matcher.accept(99));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_TRUE(matcher.accept(2));
}

TEST(GrammarMatcher, EndsByAnyStopTokenAndOnlyWhereTheAnswerIsWhole) {
  const Vocabulary vocabulary{{"</s>", "a", "<end>"}, {0, 2}};
  GrammarMatcher matcher = match(vocabulary, regex_spec("aa?"));
  EXPECT_EQ(allowed_tokens(matcher, 3), (std::set<int32_t>{1}));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_EQ(allowed_tokens(matcher, 3), (std::set<int32_t>{0, 1, 2}));
  EXPECT_TRUE(matcher.accept(2));
  EXPECT_TRUE(matcher.is_terminated());
  EXPECT_FALSE(matcher.accept(1));
  std::vector<uint32_t> mask(1);
  EXPECT_FALSE(matcher.fill_mask(mask));
}

TEST(GrammarMatcher, TakesTokensBack) {
  const Vocabulary vocabulary{{"</s>", "a", "b", "ab"}, {0}};
  GrammarMatcher matcher = match(vocabulary, choice({"abab"}));
  const auto at_start = allowed_tokens(matcher, 4);
  EXPECT_TRUE(matcher.accept(3));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_TRUE(matcher.accept(2));
  EXPECT_TRUE(matcher.accept(0));
  EXPECT_TRUE(matcher.is_terminated());
  matcher.rollback(1);
  EXPECT_FALSE(matcher.is_terminated());
  EXPECT_TRUE(matcher.is_complete());
  matcher.rollback(3);
  EXPECT_EQ(allowed_tokens(matcher, 4), at_start);
}

TEST(GrammarMatcher, CharactersMayBeSplitIntoBytes) {
  // é is C3 A9, 日 is E6 97 A5.
  const Vocabulary vocabulary{
      {"</s>", "\xC3", "\xA9", "\xE6", "\x97", "\xA5", "\xE6\x97", "日", "\x80", "é日"}, {0}};
  GrammarMatcher matcher = match(vocabulary, choice({"é日"}));
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{1, 9}));
  EXPECT_TRUE(matcher.accept(1));
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{2}));
  EXPECT_TRUE(matcher.accept(2));
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{3, 6, 7}));
  EXPECT_TRUE(matcher.accept(6));
  EXPECT_EQ(allowed_tokens(matcher, 10), (std::set<int32_t>{5}));
}

TEST(GrammarMatcher, StringsHoldOnlyValidUtf8) {
  const Language json(schema_spec(R"({"type": "string"})"));
  EXPECT_TRUE(json.has("\"é日\xF0\x9F\x98\x80\x7F\""));
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1", "\xE0\x80", "\xED\xA0", "\xF0\x80",
                          "\xF4\x90", "\xF5", "\xFF", "\xC3\"", "\x1F"}) {
    EXPECT_FALSE(json.begins(std::string("\"") + bad)) << bad;
  }
}

// Writes a text with the tokens that the tokenizer encodes it to, and then with single bytes.
TEST(GrammarMatcher, FollowsTheTokensOfATokenizer) {
  const text::Tokenizer& tokenizer = text::toy_tokenizer();
  const size_t logits = static_cast<size_t>(tokenizer.vocab_size()) + 7;
  const Vocabulary vocabulary = make_vocabulary(tokenizer, logits, {tokenizer.eos_id()});
  const std::string answer = R"({"name": "a  b é日😀", "n": -12})";
  const GrammarSpec spec =
      schema_spec(R"({"properties": {"name": {"type": "string"}, "n": {"type": "integer"}}})");
  GrammarMatcher matcher = match(vocabulary, spec);
  std::string spelled;
  for (const int32_t token : tokenizer.encode(answer)) {
    const auto allowed = allowed_tokens(matcher, logits);
    EXPECT_TRUE(allowed.contains(token)) << tokenizer.token_text(token);
    EXPECT_TRUE(matcher.accept(token));
    spelled += vocabulary.bytes[token];
  }
  EXPECT_EQ(spelled, answer);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(answer)), answer);
  const auto at_end = allowed_tokens(matcher, logits);
  EXPECT_EQ(at_end, (std::set<int32_t>{tokenizer.eos_id()}));

  GrammarMatcher by_bytes = match(vocabulary, spec);
  for (const char byte : answer) {
    const auto id = tokenizer.id_of(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
    ASSERT_TRUE(id);
    EXPECT_TRUE(by_bytes.accept(*id)) << byte;
  }
}

TEST(GrammarMatcher, LeadingSpacesAreThoseOfTheText) {
  const text::Tokenizer& tokenizer = text::toy_tokenizer();
  const auto logits = static_cast<size_t>(tokenizer.vocab_size());
  const Vocabulary vocabulary = make_vocabulary(tokenizer, logits, {tokenizer.eos_id()});
  GrammarMatcher matcher = match(vocabulary, choice({" the", "the"}));
  for (const int32_t token : allowed_tokens(matcher, logits)) {
    const std::string& bytes = vocabulary.bytes[token];
    EXPECT_TRUE(std::string(" the").starts_with(bytes) || std::string("the").starts_with(bytes));
    EXPECT_EQ(bytes, tokenizer.token_bytes(token));
  }
  EXPECT_TRUE(matcher.accept(tokenizer.encode(" the")[0]));
}

TEST(GrammarMatcher, NeverAllowsSpecialTokensOrIdsWithoutAToken) {
  const text::Tokenizer& tokenizer = text::toy_tokenizer();
  const size_t logits = static_cast<size_t>(tokenizer.vocab_size()) + 40;
  const Vocabulary vocabulary = make_vocabulary(tokenizer, logits, {tokenizer.eos_id()});
  GrammarMatcher matcher = match(vocabulary, regex_spec("[\\s\\S]*"));
  const auto allowed = allowed_tokens(matcher, logits);
  EXPECT_GT(allowed.size(), 100u);
  for (const int32_t token : allowed) {
    EXPECT_LT(token, tokenizer.vocab_size());
    EXPECT_TRUE(token == tokenizer.eos_id() || !tokenizer.is_special(token));
  }
}

TEST(GrammarMatcher, SaysWhenNoTokenFits) {
  const Vocabulary vocabulary{{"</s>", "a"}, {0}};
  GrammarMatcher matcher = match(vocabulary, choice({"ab"}));
  EXPECT_TRUE(matcher.accept(1));
  std::vector<uint32_t> mask(1);
  const Status status = matcher.fill_mask(mask);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("no token"), std::string::npos);
}

}  // namespace
}  // namespace ernie::grammar
