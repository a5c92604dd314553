#include "text/answer_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "text/detok_stream.h"
#include "text/test_support.h"

namespace ernie::text {
namespace {

using ::testing::HasSubstr;
using Thinking = AnswerSyntax::Thinking;

constexpr AnswerSyntax kSplit{.thinking = Thinking::kSplit};

struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};

struct Answer {
  std::string reasoning, content;
  std::vector<Call> calls;
  bool has_calls = false;
  bool operator==(const Answer&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Answer& answer) {
    out << "reasoning \"" << answer.reasoning << "\" content \"" << answer.content << '"';
    for (const Call& call : answer.calls) out << ' ' << call.name << call.arguments;
    return out << (answer.has_calls ? " (calls)" : "");
  }
};

void add(const AnswerParser::Delta& delta, Answer& answer) {
  answer.reasoning += delta.reasoning;
  answer.content += delta.content;
  for (const ToolCallPiece& piece : delta.calls) {
    EXPECT_EQ(static_cast<size_t>(piece.index) + (piece.name.empty() ? 1 : 0), answer.calls.size());
    if (!piece.name.empty()) answer.calls.push_back({piece.name, {}});
    answer.calls.back().arguments += piece.arguments;
  }
}

// Runs `output`'s tokens through the stream and the parser one by one.
Answer run(const Tokenizer& tokenizer, const std::string& prompt, const std::string& output,
           AnswerRules rules = {.syntax = kSplit}) {
  AnswerParser parser(tokenizer, tokenizer.encode(prompt), std::move(rules));
  DetokenStream stream(tokenizer);
  Answer answer;
  for (int32_t id : tokenizer.encode(output)) {
    if (parser.has_ended()) break;
    add(parser.push(id, stream.push(id)), answer);
  }
  if (!parser.has_ended()) add(parser.flush(stream.flush()), answer);
  answer.has_calls = parser.has_calls();
  return answer;
}

Answer run(const std::string& prompt, const std::string& output,
           AnswerRules rules = {.syntax = kSplit}) {
  return run(toy_tokenizer(), prompt, output, std::move(rules));
}

Answer call(const std::string& output, AnswerRules rules = {.syntax = kSplit}) {
  rules.tool_calls = true;
  return run("Assistant: ", output, std::move(rules));
}

// --- Thinking ---

TEST(AnswerParser, SplitsAtTheEndOfThinking) {
  EXPECT_EQ(run("User: x\nAssistant: <think>", "\nfirst\n</think>\n\nanswer\n"),
            (Answer{"\nfirst\n", "answer\n"}));
}

TEST(AnswerParser, UnfinishedThinkingIsAllReasoning) {
  EXPECT_EQ(run("Assistant: <think>", "still thinking\n"), (Answer{"still thinking\n", ""}));
}

TEST(AnswerParser, AClosedOrMissingThinkBlockMeansContent) {
  EXPECT_EQ(run("Assistant: <think>\n\n</think>\n\n", "\nyes</think>no"),
            (Answer{"", "\nyes</think>no"}));
  EXPECT_EQ(run("Assistant: ", "yes"), (Answer{"", "yes"}));
}

TEST(AnswerParser, TheLastTagOfThePromptDecides) {
  EXPECT_EQ(run("<think>a</think>b Assistant: <think>", "c"), (Answer{"c", ""}));
}

TEST(AnswerParser, OnlyTheFirstEndTagSplits) {
  EXPECT_EQ(run("<think>", "a</think>b</think>\nc"), (Answer{"a", "b</think>\nc"}));
}

TEST(AnswerParser, ComparesIdsNotText) {
  const Tokenizer& tokenizer = toy_tokenizer();
  AnswerParser parser(tokenizer, tokenizer.encode("<think>"), {.syntax = kSplit});
  EXPECT_EQ(parser.push(100, "</think>").reasoning, "</think>");
  EXPECT_TRUE(parser.is_thinking());
  // The tag's delta may bring bytes that were held back, and no text of its own.
  const auto delta = parser.push(*tokenizer.think_end_id(), "\uFFFD");
  EXPECT_EQ(delta.reasoning, "\uFFFD");
  EXPECT_EQ(delta.content, "");
  EXPECT_FALSE(parser.is_thinking());
}

class WithoutTagIds : public testing::Test {
 protected:
  WithoutTagIds() {
    std::filesystem::copy_file(std::filesystem::path(kToyTokenizer) / "tokenizer.model",
                               folder_.path() / "tokenizer.model");
    tokenizer_.emplace(*Tokenizer::load(folder_.path()));
  }
  const TempFolder folder_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(WithoutTagIds, TagsAreFoundByText) {
  ASSERT_FALSE(tokenizer_->think_end_id());
  ASSERT_GT(tokenizer_->encode("</think>").size(), 2u);
  EXPECT_EQ(run(*tokenizer_, "a <think>", "b </thi c</think>\n\nd</think>"),
            (Answer{"b </thi c", "d</think>"}));
  EXPECT_EQ(run(*tokenizer_, "a <think>", "b </thin"), (Answer{"b </thin", ""}));
  EXPECT_EQ(run(*tokenizer_, "<think></think>", "b"), (Answer{"", "b"}));
}

TEST_F(WithoutTagIds, HalfATagInWhatIsNoCallStaysText) {
  const AnswerRules rules{.syntax = kSplit, .tool_calls = true};
  for (const char* text : {"<tool_call>no", "<tool_call>{</tool_ca", "<tool_call>{</tool_call>",
                           "a <tool_call>[1]</tool_call> b", "<tool_", "</tool_call>"}) {
    EXPECT_EQ(run(*tokenizer_, "a", text, rules), (Answer{"", text}));
  }
}

TEST(AnswerParser, ShownThinkingStandsBetweenItsTags) {
  const AnswerRules rules{.syntax = {.thinking = Thinking::kShown}, .stop = {"\n"}};
  EXPECT_EQ(run("<think>", "a\nb</think>c\nd", rules), (Answer{"", "<think>a\nb</think>c"}));
  EXPECT_EQ(run("<think></think>", "c", rules), (Answer{"", "c"}));
}

TEST(AnswerParser, ResponseTagsAndTheirNewlinesAreDropped) {
  const AnswerRules rules{.syntax = {.thinking = Thinking::kSplit, .response_tags = true}};
  EXPECT_EQ(run("<think>", "\na\n\nb\n</think>\n\n<response>\nc\n\nd\n</response>\n", rules),
            (Answer{"\na\n\nb", "c\n\nd"}));
  EXPECT_EQ(run("<think>", "a\n</think>\nc\n", rules), (Answer{"a", "c\n"}));
  EXPECT_EQ(run("<think>", "a\n", rules), (Answer{"a\n", ""}));
}

// --- Stop strings ---

TEST(AnswerParser, StopStringsEndTheContentOnly) {
  const AnswerRules rules{.syntax = kSplit, .stop = {"red", "\n"}};
  EXPECT_EQ(run("<think>", "I\nsee red</think>\n\na red dog", rules), (Answer{"I\nsee red", "a "}));
  EXPECT_EQ(run("<think>", "a</think>one\ntwo", rules), (Answer{"a", "one"}));
  AnswerRules included = rules;
  included.include_stop = true;
  EXPECT_EQ(run("<think>", "a</think>a red dog", included), (Answer{"a", "a red"}));
}

TEST(AnswerParser, StopStringsDoNotCutCalls) {
  EXPECT_EQ(call("a <tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"\\n\"}}\n</tool_call>",
                 {.syntax = kSplit, .stop = {"\n", "x", "ab"}}),
            (Answer{"", "a ", {{"f", "{\"x\": \"\\n\"}"}}, true}));
}

// --- Tool calls ---

TEST(AnswerParser, CallsAreTakenOutOfTheContent) {
  EXPECT_EQ(call("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": [1, {\"y\": \"}\\\"\"}]}}\n"
                 "</tool_call>\n<tool_call>\n{\"arguments\":{},\"name\":\"g\"}</tool_call>\n"),
            (Answer{"", "", {{"f", "{\"x\": [1, {\"y\": \"}\\\"\"}]}"}, {"g", "{}"}}, true}));
  EXPECT_EQ(call("Let me see.\n\n<tool_call>{\"name\":\"f\"}</tool_call>\n\nDone.\n"),
            (Answer{"", "Let me see.Done.\n", {{"f", "{}"}}, true}));
  EXPECT_EQ(run("<think>", "hm</think>\n\n\n<tool_call>{\"name\":\"f\"}</tool_call>",
                {.syntax = kSplit, .tool_calls = true}),
            (Answer{"hm", "", {{"f", "{}"}}, true}));
}

TEST(AnswerParser, TagsWithIdsAreFoundByIdOnly) {
  const TempFolder folder;
  for (const char* file : {"tokenizer.model", "tokenizer_config.json"}) {
    std::filesystem::copy_file(std::filesystem::path(kToyTokenizer) / file, folder.path() / file);
  }
  folder.write("added_tokens.json", R"({"<tool_call>": 3040, "</tool_call>": 3041})");
  const Tokenizer tokenizer = *Tokenizer::load(folder.path());
  ASSERT_EQ(tokenizer.id_of("<tool_call>"), 3040);
  const AnswerRules rules{.syntax = kSplit, .tool_calls = true};
  EXPECT_EQ(run(tokenizer, "a", "b\n<tool_call>{\"name\":\"f\"}</tool_call>", rules),
            (Answer{"", "b", {{"f", "{}"}}, true}));
  AnswerParser parser(tokenizer, {}, rules);
  EXPECT_EQ(parser.push(100, "<tool_call>").content, "<tool_call>");
}

TEST(AnswerParser, OtherMembersAreSkippedAndArgumentsMayBeText) {
  EXPECT_EQ(
      call("<tool_call>{\"id\": 3, \"x\": [{}], \"type\": \"function\", \"n\\u0061me\": \"f\", "
           "\"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>"),
      (Answer{"", "", {{"f", "{\"a\": 1}"}}, true}));
}

TEST(AnswerParser, CallsWithoutToolsAreText) {
  const std::string text = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
  EXPECT_EQ(run("Assistant: ", text), (Answer{"", text}));
}

TEST(AnswerParser, WhatOnlyLooksLikeACallStaysText) {
  for (const char* text :
       {"<tool_call>", "<tool_call></tool_call>", "<tool_call>{}</tool_call>\n",
        "<tool_call>f(1)</tool_call>", "<tool_call>{\"arguments\":{\"x\":1}}</tool_call> more",
        "<tool_call>{\"name\":3}</tool_call>", "<tool_call>{\"name\":\"\"}</tool_call>",
        "<tool_call>{\"name\"", "<tool_call>{name: \"f\"}</tool_call>",
        "<tool_call>{\"name\":\"\\x\"}</tool_call>", "</tool_call>"}) {
    EXPECT_EQ(call(text), (Answer{"", text}));
  }
}

TEST(AnswerParser, ACallThatIsCutIsNotWhole) {
  EXPECT_EQ(call("<tool_call>{\"name\":\"f\",\"arguments\":{\"x\":"),
            (Answer{"", "", {{"f", "{\"x\":"}}, false}));
  EXPECT_EQ(call("<tool_call>{\"name\":\"f\",\"arguments\":{\"x\":1}}"),
            (Answer{"", "", {{"f", "{\"x\":1}"}}, true}));
  EXPECT_EQ(call("<tool_call>{\"name\":\"f\",\"arguments\":{\"x\":1}<tool_call>{\"name\":\"g\"}"),
            (Answer{"", "", {{"f", "{\"x\":1}"}, {"g", "{}"}}, true}));
}

TEST(AnswerParser, WhatFollowsABrokenCallIsNoArgument) {
  EXPECT_EQ(call("<tool_call>{\"name\":\"f\",\"arguments\":x{\"a\":1}}</tool_call>"),
            (Answer{"", "", {{"f", ""}}, false}));
}

TEST(AnswerParser, CallsThatMustComeFirstAreTextBehindText) {
  const AnswerRules rules{.syntax = {.thinking = Thinking::kSplit, .calls_first = true}};
  const std::string text = "Text <tool_call>{\"name\":\"f\"}</tool_call>";
  EXPECT_EQ(call(text, rules), (Answer{"", text}));
  EXPECT_EQ(call("\n\n<tool_call>{\"name\":\"f\"}</tool_call>", rules),
            (Answer{"", "", {{"f", "{}"}}, true}));
}

TEST(AnswerParser, ACallThatIsCutDoesNotEndTheAnswer) {
  const Tokenizer& tokenizer = toy_tokenizer();
  AnswerParser parser(tokenizer, {}, {.syntax = kSplit, .tool_calls = true, .one_call = true});
  parser.push(-1, "<tool_call>{\"name\":\"f\",\"arguments\":{");
  parser.flush();
  EXPECT_FALSE(parser.has_ended());
}

TEST(AnswerParser, OneCallMayEndTheAnswer) {
  EXPECT_EQ(call("<tool_call>{\"name\":\"f\"}</tool_call>\n<tool_call>{\"name\":\"g\"}</tool_call>",
                 {.syntax = kSplit, .one_call = true}),
            (Answer{"", "", {{"f", "{}"}}, true}));
}

// A74
TEST(AnswerParser, LosesNoTextWhateverIsWritten) {
  const std::vector<std::string> parts = {
      "<tool_call>", "</tool_call>",  "<think>", "{",  "}",  "\"name\"", ":",
      "\"f\"",       "\"arguments\"", ",",       "\"", "\\", "[",        "a",
      "\n",          "<tool_",        "</"};
  EXPECT_TRUE(rc::check([&] {
    std::string text;
    for (const int part : *rc::gen::container<std::vector<int>>(
             rc::gen::inRange(0, static_cast<int>(parts.size())))) {
      text += parts[part];
    }
    const Answer answer = call(text);
    if (answer.calls.empty()) RC_ASSERT(answer.content == text);
    for (const Call& found : answer.calls) {
      RC_ASSERT(!found.name.empty());
      RC_ASSERT(found.arguments.empty() || text.find(found.arguments) != std::string::npos ||
                found.arguments == "{}" || found.arguments == "f" || found.arguments == "name" ||
                found.arguments == "arguments");
    }
  }));
}

TEST(AnswerParser, A74ALongCallTakesLinearTime) {
  const Tokenizer& tokenizer = toy_tokenizer();
  AnswerParser parser(tokenizer, {}, {.syntax = kSplit, .tool_calls = true});
  Answer answer;
  parser.push(-1, "");
  add(parser.push(tokenizer.id_of("<tool_call>").value_or(-1), "<tool_call>"), answer);
  add(parser.push(-1, "{\"name\":\"f\",\"arguments\":"), answer);
  for (int i = 0; i < 1 << 20; ++i) add(parser.push(-1, i % 2 == 0 ? "{" : "\"a\":"), answer);
  EXPECT_GT(answer.calls.at(0).arguments.size(), size_t{1} << 20);
}

TEST(AnswerSyntax, AnUnknownNameListsTheKnownOnes) {
  AnswerSyntax syntax;
  const Status reasoning = set_reasoning_parser("ernie-46", "--reasoning-parser", syntax);
  ASSERT_FALSE(reasoning);
  EXPECT_THAT(reasoning.error().message,
              HasSubstr("one of: ernie-45-vl, ernie-45-vl-thinking, ernie-x1; found \"ernie-46\""));
  EXPECT_EQ(reasoning.error().param, "--reasoning-parser");
  const Status tools = set_tool_parser("hermes", "--tool-call-parser", syntax);
  ASSERT_FALSE(tools);
  EXPECT_THAT(tools.error().message,
              HasSubstr("one of: ernie-45-vl-thinking, ernie-x1, ernie-45; found \"hermes\""));
}

}  // namespace
}  // namespace ernie::text
