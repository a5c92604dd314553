#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>

#include "text/test_support.h"
#include "text/utf8.h"

namespace ernie::text {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int32_t> ids_of(const json::value& value) {
  return json::value_to<std::vector<int32_t>>(value);
}

// Of a file of tests/golden/text.
template <typename Visit>
void for_each_line(const std::string& file, Visit visit) {
  std::ifstream lines("tests/golden/text/" + file);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) visit(json::parse(line).get_object());
  ASSERT_GE(count, 200) << file;
}

TEST(Tokenizer, EncodesLikeSentencePieceWithSpecialTokensSplitOff) {
  for_each_line("tokenizer/encode.jsonl", [](const json::object& line) {
    const std::string text(line.at("text").get_string());
    EXPECT_EQ(toy_tokenizer().encode(text), ids_of(line.at("ids"))) << text;
  });
}

// What is typed into a plain prompt is what transformers' tokenizer of the checkpoint takes it for.
TEST(Tokenizer, EncodesTypedMarkersLikeTransformers) {
  const auto tokenizer = Tokenizer::load("tests/golden/model/tiny-a");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  for_each_line("typed.jsonl", [&](const json::object& line) {
    const std::string text(line.at("text").get_string());
    EXPECT_EQ(tokenizer->encode(text), ids_of(line.at("ids"))) << text;
  });
}

TEST(Tokenizer, EncodesSpecialTokensOfUsersLikeOrdinaryText) {
  for_each_line("tokenizer/encode.jsonl", [](const json::object& line) {
    const std::string text(line.at("text").get_string());
    const json::value& plain = line.contains("plain") ? line.at("plain") : line.at("ids");
    EXPECT_EQ(toy_tokenizer().encode(text, {.parse_special = false}), ids_of(plain)) << text;
  });
}

TEST(Tokenizer, DecodesByteTokensLikeSentencePiece) {
  for_each_line("tokenizer/decode.jsonl", [](const json::object& line) {
    EXPECT_EQ(toy_tokenizer().decode(ids_of(line.at("ids"))), line.at("text").get_string());
  });
}

TEST(Tokenizer, KnowsTheFamilysTokens) {
  const Tokenizer& tokenizer = toy_tokenizer();
  EXPECT_EQ(tokenizer.unk_id(), 0);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.pad_id(), 0);
  EXPECT_EQ(tokenizer.cls_id(), tokenizer.id_of("<|begin_of_sentence|>"));
  EXPECT_EQ(tokenizer.sep_id(), tokenizer.id_of("<|end_of_sentence|>"));
  ASSERT_TRUE(tokenizer.think_end_id());
  EXPECT_EQ(*tokenizer.think_end_id(), *tokenizer.think_start_id() + 1);
  EXPECT_EQ(tokenizer.vocab_size(), *tokenizer.think_end_id() + 1);
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.cls_id()));
  EXPECT_TRUE(tokenizer.is_added(*tokenizer.think_end_id()));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.think_end_id()));  // its file says so
  EXPECT_FALSE(tokenizer.is_added(*tokenizer.id_of("7")));
  EXPECT_EQ(tokenizer.id_of("<|never_given_an_id|>"), std::nullopt);
  EXPECT_THAT(tokenizer.encode("\n"), ElementsAre(23));
  EXPECT_EQ(tokenizer.token_bytes(23), "\n");
  EXPECT_EQ(tokenizer.token_bytes(13 + 0xE9), "\xE9");
  EXPECT_EQ(tokenizer.token_text(13 + 0xE9), "\uFFFD");
  EXPECT_EQ(tokenizer.token_bytes(*tokenizer.id_of(" ")), " ");
  EXPECT_EQ(tokenizer.token_bytes(-1), "");
  EXPECT_EQ(tokenizer.token_bytes(103423), "");
  EXPECT_TRUE(tokenizer.encode("").empty());
}

TEST(Tokenizer, SkipsSpecialTokensOnlyOnRequest) {
  const Tokenizer& tokenizer = toy_tokenizer();
  const auto ids = tokenizer.encode("a <|IMAGE_START|> b<mask:3><think>");
  EXPECT_EQ(tokenizer.decode(ids, false), "a <|IMAGE_START|> b<mask:3><think>");
  EXPECT_EQ(tokenizer.decode(ids, true), "a  b<think>");
}

// Whole characters of every length, half of them from a few that the pieces are made of.
rc::Gen<std::string> texts() {
  const auto character = rc::gen::oneOf(
      rc::gen::inRange<uint32_t>(0, 0x80), rc::gen::inRange<uint32_t>(0x80, 0x800),
      rc::gen::inRange<uint32_t>(0x800, 0xD800), rc::gen::inRange<uint32_t>(0xE000, 0x110000),
      rc::gen::element<uint32_t>('a', 'e', ' ', '<', '>', '|', '\n', '1', U'图'));
  return rc::gen::map(rc::gen::container<std::vector<uint32_t>>(character),
                      [](const std::vector<uint32_t>& values) {
                        std::string text;
                        for (uint32_t value : values) {
                          if (value != 0x2581) append_utf8(value, text);
                        }
                        return text;
                      });
}

// A32
TEST(Tokenizer, DecodingUndoesEncoding) {
  EXPECT_TRUE(rc::check([] {
    const std::string text = *texts();
    RC_ASSERT(toy_tokenizer().decode(toy_tokenizer().encode(text), false) == text);
    RC_ASSERT(toy_tokenizer().decode(toy_tokenizer().encode(text, {false}), false) == text);
  }));
}

// A63, A75
TEST(Tokenizer, NeverMakesAnAddedTokenFromUntrustedText) {
  EXPECT_TRUE(rc::check([] {
    const auto part = rc::gen::oneOf(
        texts(), rc::gen::element<std::string>("<|IMAGE_PLACEHOLDER|>", "<think>", "</think>",
                                               "<s>", "</s>", "<unk>", "<mask:1>", "<|end_of_",
                                               "sentence|>", "<|begin_of_sentence|>", "<0x0A>"));
    std::string text;
    for (const std::string& piece : *rc::gen::container<std::vector<std::string>>(part)) {
      text += piece;
    }
    const auto ids = toy_tokenizer().encode(text, {.parse_special = false});
    RC_ASSERT(std::none_of(ids.begin(), ids.end(),
                           [](int32_t id) { return toy_tokenizer().is_added(id); }));
    RC_ASSERT(toy_tokenizer().decode(ids, true) == text);
  }));
}

TEST(Tokenizer, SegmentsAreEncodedAsOneString) {
  EXPECT_TRUE(rc::check([] {
    const std::string text = *texts();
    const size_t cut = *rc::gen::inRange<size_t>(0, text.size() + 1);
    RC_PRE(cut == text.size() || !utf8_continues(text[cut]));
    const std::string_view view = text;
    const TextSegment segments[] = {{view.substr(0, cut), true}, {view.substr(cut), false}};
    RC_ASSERT(toy_tokenizer().encode_segments(segments) ==
              toy_tokenizer().encode(text, {.parse_special = false}));
  }));
}

// A75
TEST(Tokenizer, SpecialTokensCountOnlyInTrustedSegments) {
  const Tokenizer& tokenizer = toy_tokenizer();
  const int32_t cls = *tokenizer.cls_id();
  const TextSegment segments[] = {{"<|begin_of_", true},      {"sentence|>User: ", true},
                                  {"<|end_of_", false},       {"sentence|>", true},
                                  {"<|IMAGE_START|>", false}, {"<|IMAGE_END|>", true}};
  const auto ids = tokenizer.encode_segments(segments);
  EXPECT_EQ(ids.front(), cls);
  EXPECT_EQ(ids.back(), tokenizer.id_of("<|IMAGE_END|>"));
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [&](int32_t i) { return tokenizer.is_added(i); }),
            2);
  EXPECT_EQ(tokenizer.decode(ids, false),
            "<|begin_of_sentence|>User: <|end_of_sentence|><|IMAGE_START|><|IMAGE_END|>");
}

TEST(Tokenizer, ReadsInvalidUtf8AsReplacementCharacters) {
  const Tokenizer& tokenizer = toy_tokenizer();
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a\xFF\xE5\x9B z\xED\xA0\x80")),
            "a\uFFFD\uFFFD\uFFFD z\uFFFD\uFFFD\uFFFD");
}

TEST(Tokenizer, MinTokensIsALowerBound) {
  const Tokenizer& tokenizer = toy_tokenizer();
  EXPECT_EQ(tokenizer.min_tokens(""), 0u);
  EXPECT_GT(tokenizer.min_tokens(std::string(50'000'000, ' ')), 131072u);
  EXPECT_TRUE(rc::check([&] {
    const std::string text = *texts();
    RC_ASSERT(tokenizer.min_tokens(text) <= tokenizer.encode(text).size());
  }));
  for (const char* text : {"<|begin_of_sentence|>", "                ", "aaaaaaaaaaaaaaaa"}) {
    EXPECT_LE(tokenizer.min_tokens(text), tokenizer.encode(text).size()) << text;
  }
}

TEST(Tokenizer, StopsEarlyAtMaxTokensAndThenSaysSo) {
  const Tokenizer& tokenizer = toy_tokenizer();
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "picture ";
  const size_t all = tokenizer.encode(text).size();
  const auto cut = tokenizer.encode(text, {.max_tokens = 1000});
  EXPECT_GT(cut.size(), 1000u);
  EXPECT_LT(cut.size(), 8000u);
  EXPECT_EQ(tokenizer.encode(text, {.max_tokens = all}).size(), all);
  EXPECT_GT(tokenizer.encode(text, {.max_tokens = all - 1}).size(), all - 1);
}

TEST(TokenizerLoad, ExtraSpecialTokensAreAListOrNamed) {
  for (const char* extra : {R"(["<|LOC_8|>", {"content": "<|LOC_9|>"}])",
                            R"({"image_token": "<|LOC_8|>", "audio_token": "<|LOC_9|>"})"}) {
    const TempFolder folder;
    std::filesystem::copy(kToyTokenizer, folder.path());
    folder.write("added_tokens.json",
                 R"({"<|LOC_8|>": 3026, "<|LOC_9|>": 3027, "<|LOC_10|>": 3028})");
    folder.write("tokenizer_config.json", std::string(R"({"added_tokens_decoder": {
                     "3026": {"content": "<|LOC_8|>", "special": false},
                     "3028": {"content": "<|LOC_10|>", "special": false}},
                     "extra_special_tokens": )") +
                                              extra + "}");
    const auto tokenizer = Tokenizer::load(folder.path());
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    EXPECT_TRUE(tokenizer->is_special(3026)) << extra;
    EXPECT_TRUE(tokenizer->is_special(3027)) << extra;
    EXPECT_FALSE(tokenizer->is_special(3028)) << extra;
  }
}

// As transformers takes them.
TEST(TokenizerLoad, SomeTokensTakeTheWhitespaceAroundThem) {
  const TempFolder folder;
  std::filesystem::copy(kToyTokenizer, folder.path());
  folder.write("added_tokens.json", R"({"<|LEFT|>": 3026, "<|RIGHT|>": 3027, "<|NONE|>": 3028})");
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {
                   "3026": {"content": "<|LEFT|>", "lstrip": true, "rstrip": false},
                   "3028": {"content": "<|NONE|>", "lstrip": false}},
                   "extra_special_tokens": [{"content": "<|RIGHT|>", "rstrip": true}]})");
  const auto tokenizer = Tokenizer::load(folder.path());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto same = [&](const std::string& text, const std::string& stripped) {
    EXPECT_EQ(tokenizer->encode(text), tokenizer->encode(stripped)) << text;
  };
  same("a \n<|LEFT|>b", "a<|LEFT|>b");
  same("a<|RIGHT|> \t b", "a<|RIGHT|>b");
  same("<|RIGHT|>  <|LEFT|>", "<|RIGHT|><|LEFT|>");
  EXPECT_NE(tokenizer->encode("a<|LEFT|> b"), tokenizer->encode("a<|LEFT|>b"));
  EXPECT_NE(tokenizer->encode("a <|NONE|>"), tokenizer->encode("a<|NONE|>"));
  EXPECT_EQ(tokenizer->encode("a <|LEFT|>", {.parse_special = false}).front(),
            tokenizer->encode("a ").front());
}

// A80
TEST(TokenizerLoad, NamesTheMissingFile) {
  const TempFolder folder;
  const auto tokenizer = Tokenizer::load(folder.path());
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("tokenizer.model: expected"));
}

// A80
TEST(TokenizerLoad, RejectsAModelThatIsNone) {
  const TempFolder folder;
  folder.write("tokenizer.model", "not a model");
  const auto tokenizer = Tokenizer::load(folder.path());
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("expected a SentencePiece model"));
}

struct BadJson {
  const char* file;
  const char* text;
  const char* message;
};

class TokenizerBadJson : public ::testing::TestWithParam<BadJson> {};

// A80
TEST_P(TokenizerBadJson, NamesTheFileAndTheFault) {
  const TempFolder folder;
  std::filesystem::copy(kToyTokenizer, folder.path(), std::filesystem::copy_options::recursive);
  folder.write(GetParam().file, GetParam().text);
  const auto tokenizer = Tokenizer::load(folder.path());
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, TokenizerBadJson,
    ::testing::Values(
        BadJson{"added_tokens.json", "{", "added_tokens.json: expected JSON"},
        BadJson{"added_tokens.json", "[]", "added_tokens.json: expected a JSON object"},
        BadJson{"added_tokens.json", R"({"<x>": "1"})", "added_tokens.json: expected a token id"},
        BadJson{"added_tokens.json", R"({"<x>": 5})", "ids from 3026"},
        BadJson{"added_tokens.json", R"({"</think>": 4000})", "\"</think>\" id 3045, another file"},
        BadJson{"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<x>"}}})",
                "expected a token id as key"},
        BadJson{
            "tokenizer_config.json",
            R"({"added_tokens_decoder": {"3045": {"content": "</think>", "single_word": true}}})",
            "single_word"}));

}  // namespace
}  // namespace ernie::text
