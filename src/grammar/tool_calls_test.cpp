#include "grammar/tool_calls.h"

#include <gtest/gtest.h>

#include "grammar/test_support.h"
#include "grammar/vocabulary.h"

namespace ernie::grammar {
namespace {

constexpr const char* kCity =
    R"({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})";

GrammarSpec calls(bool required, bool parallel = true) {
  GrammarSpec spec{GrammarKind::kText};
  spec.calls = CallRules{.tools = {{"weather", kCity, false, "tools[0].function.parameters"},
                                   {"now", "", false, "tools[1].function.parameters"}},
                         .required = required,
                         .parallel = parallel};
  return spec;
}

const std::string kWeather =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Bonn\"}}\n</tool_call>";
const std::string kNow = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

TEST(ToolCalls, RequiredCallsAreCallsOfTheToolsAndNothingElse) {
  const Language language(calls(true));
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has(kWeather));
  EXPECT_TRUE(language.has("\n\n" + kWeather + "\n" + kNow));
  EXPECT_FALSE(language.has(""));
  EXPECT_FALSE(language.begins("a"));
  EXPECT_FALSE(language.begins("<tool_call>\n{\"name\": \"rain"));
  EXPECT_FALSE(language.begins("<tool_call>\n{\"name\": \"weather\", \"arguments\": {}"));
}

TEST(ToolCalls, OneCallIsOne) {
  const Language language(calls(true, false));
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has(kWeather));
  EXPECT_FALSE(language.begins(kWeather + "\n<"));
}

TEST(ToolCalls, TextMayHoldCallsOfTheTools) {
  const Language language(calls(false));
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has("No call < at all."));
  EXPECT_TRUE(language.has("Let me see.\n" + kWeather + "\n" + kNow + "\nDone."));
  EXPECT_FALSE(language.begins("a <tool_call>\n{\"name\": \"rain"));
}

TEST(ToolCalls, AnAnswerHasItsFormatOrCalls) {
  GrammarSpec spec = calls(false);
  spec.kind = GrammarKind::kJsonSchema;
  spec.text = R"({"type": "integer"})";
  const Language language(spec);
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has("42"));
  EXPECT_TRUE(language.has(kNow));
  EXPECT_FALSE(language.begins("Hello"));
}

TEST(ToolCalls, TagsMayBeTokens) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.bytes.insert(vocabulary.bytes.end(), {kCallBeginBytes, kCallEndBytes});
  for (const bool required : {true, false}) {
    GrammarSpec spec = calls(required);
    spec.calls->begin_token = 257;
    spec.calls->end_token = 258;
    GrammarCompiler compiler(vocabulary, kMemory);
    const auto compiled = compiler.compile(spec, kNotCancelled);
    ASSERT_TRUE(compiled) << compiled.error().message;
    GrammarMatcher matcher(*compiled);
    const auto spell = [&](std::string_view text) {
      return std::all_of(text.begin(), text.end(),
                         [&](char byte) { return matcher.accept(byte_token(byte)); });
    };
    EXPECT_EQ(spell("Hm. "), !required);
    ASSERT_TRUE(matcher.accept(257));
    EXPECT_FALSE(matcher.accept(257));
    EXPECT_TRUE(spell("\n{\"name\": \"now\", \"arguments\": {}}\n"));
    EXPECT_EQ(allowed_tokens(matcher, vocabulary.bytes.size()), (std::set<int32_t>{258}));
    ASSERT_TRUE(matcher.accept(258));
    EXPECT_TRUE(matcher.is_complete());
  }
}

TEST(ToolCalls, TagsThatAreTokensStandInNoText) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.bytes.insert(vocabulary.bytes.end(), {kCallBeginBytes, kCallEndBytes});
  GrammarSpec required = calls(true);
  required.calls->begin_token = 257;
  required.calls->end_token = 258;
  GrammarCompiler compiler(vocabulary, kMemory);
  for (const GrammarSpec& spec : {required, schema_spec(R"({"type": "string"})"), regex_spec(".*"),
                                  GrammarSpec{GrammarKind::kEbnf, "root ::= [^a]*"}}) {
    // Within a character, too, of which some bytes are there.
    for (const std::string begun : {"", "b", "\xE5", "\xE5\xA4", "\xF0", "\xF0\x9F\x98"}) {
      GrammarMatcher matcher(*compiler.compile(spec, kNotCancelled));
      std::string text = begun;
      if (spec.calls) {
        ASSERT_TRUE(matcher.accept(257));
        text = "\n{\"name\": \"now\", \"arguments\": {\"" + begun;
      } else if (spec.kind == GrammarKind::kJsonSchema) {
        text = '"' + begun;
      }
      for (const char byte : text) ASSERT_TRUE(matcher.accept(byte_token(byte))) << text;
      const auto allowed = allowed_tokens(matcher, vocabulary.bytes.size());
      EXPECT_FALSE(allowed.contains(257) || allowed.contains(258)) << text;
      EXPECT_FALSE(matcher.accept(257) || matcher.accept(258)) << text;
    }
  }
}

TEST(ToolCalls, ErrorsNameTheToolAndItsField) {
  GrammarSpec spec = calls(true);
  spec.calls->tools[1].parameters = R"({"properties": {"a": {"not": {}}}})";
  const auto compiled = GrammarCompiler(byte_vocabulary(), kMemory).compile(spec, kNotCancelled);
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.error().param, "tools[1].function.parameters");
  EXPECT_EQ(compiled.error().message,
            "the parameters of the function \"now\": schema at /properties/a: \"not\" is not "
            "supported");
}

TEST(ToolCalls, NamesAreSpelledOut) {
  GrammarSpec spec = calls(true);
  spec.calls->tools = {{"a\"b", "", false, ""}};
  const Language language(spec);
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.begins("<tool_call>\n{\"name\": \"a\\\"b\", "));
}

}  // namespace
}  // namespace ernie::grammar
