#include "grammar/structural_tag.h"

#include <gtest/gtest.h>

#include "grammar/test_support.h"

namespace ernie::grammar {
namespace {

GrammarSpec tag(const char* text) { return {GrammarKind::kStructuralTag, text}; }

constexpr const char* kTags = R"({"type": "structural_tag", "format": {"type": "triggered_tags",
  "triggers": ["<f"], "tags": [{"begin": "<f>", "end": "</f>", "content": {"type": "json_schema",
  "json_schema": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}}}]}})";

TEST(StructuralTag, ConstrainsWhatFollowsATrigger) {
  const Language language(tag(kTags));
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has("any text < f"));
  EXPECT_TRUE(language.has("first <f>{\"a\": 1}</f> then <f>{\"a\":2}</f> more"));
  EXPECT_FALSE(language.begins("<f>{\"b\""));
  EXPECT_FALSE(language.begins("<f>{\"a\": 1}<x"));
  EXPECT_FALSE(language.has("<f>{\"a\": 1}"));
}

TEST(StructuralTag, TakesTheOlderNotation) {
  const Language language(tag(R"({"structures": [{"begin": "<f>", "end": "</f>",
      "schema": {"type": "boolean"}}], "triggers": ["<f>"]})"));
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has("x<f>true</f>"));
  EXPECT_FALSE(language.begins("<f>1"));
}

TEST(StructuralTag, HoldsRegularExpressionsAndGrammars) {
  const Language language(tag(R"({"type": "structural_tag", "format": {"type": "sequence",
      "elements": [{"type": "const_string", "value": "n="},
                   {"type": "regex", "pattern": "\\d{2}"},
                   {"type": "grammar", "grammar": "root ::= \"!\" | \"?\""}]}})"));
  ASSERT_TRUE(language.ok()) << language.error();
  EXPECT_TRUE(language.has("n=12?"));
  EXPECT_FALSE(language.begins("n=1x"));
}

TEST(StructuralTag, SchemasInItAreCheckedWithTheirPlace) {
  const Language language(tag(R"({"type": "structural_tag", "format": {"type": "tag",
      "begin": "<", "end": ">", "content": {"type": "json_schema",
      "json_schema": {"properties": {"a": {"not": {}}}}}}})"));
  EXPECT_EQ(language.error(),
            "structural tag at /format/content: schema at /properties/a: \"not\" is not supported");
  for (const char* bad :
       {"3", "{", "{}", R"({"format": {}})", R"({"format": {"type": "token", "token": 3}})",
        R"({"format": {"type": "any_tokens"}})", R"({"format": {"type": "regex", "pattern": 1}})",
        R"({"format": {"type": "json_schema"}})", R"({"structures": [], "triggers": 3})",
        R"({"format": {"type": "json_schema", "json_schema": {}, "style": "qwen_xml"}})",
        R"({"format": {"type": "regex", "pattern": "[a"}})",
        R"x({"format": {"type": "grammar", "grammar": "root ::= Token(1)"}})x",
        R"({"format": {"type": "repeat", "min": 0, "max": 1000000000,
            "content": {"type": "const_string", "value": "a"}}})"}) {
    EXPECT_FALSE(Language(tag(bad)).ok()) << bad;
  }
}

}  // namespace
}  // namespace ernie::grammar
