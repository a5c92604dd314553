#include "text/reasoning_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/detok_stream.h"
#include "text/test_support.h"

namespace ernie::text {
namespace {

using ::testing::HasSubstr;

struct Split {
  std::string reasoning, content;
  bool operator==(const Split&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Split& split) {
    return out << "reasoning \"" << split.reasoning << "\" content \"" << split.content << '"';
  }
};

// Runs `output`'s tokens through the stream and the parser one by one.
Split run(const Tokenizer& tokenizer, const std::string& prompt, const std::string& output,
          bool skip_special = true) {
  const auto prompt_ids = tokenizer.encode(prompt);
  auto parser = ReasoningParser::create("ernie-45-vl", tokenizer, prompt_ids);
  EXPECT_TRUE(parser);
  DetokenStream stream(tokenizer, skip_special);
  Split split;
  const auto add = [&](const ReasoningParser::Delta& delta) {
    split.reasoning += delta.reasoning;
    split.content += delta.content;
  };
  for (int32_t id : tokenizer.encode(output)) add(parser->push(id, stream.push(id)));
  add(parser->flush(stream.flush()));
  return split;
}

Split run(const std::string& prompt, const std::string& output) {
  return run(toy_tokenizer(), prompt, output);
}

TEST(ReasoningParser, SplitsAtTheEndOfThinking) {
  EXPECT_EQ(run("User: x\nAssistant: <think>", "\nfirst\n</think>\n\nanswer\n"),
            (Split{"\nfirst\n", "answer\n"}));
}

TEST(ReasoningParser, UnfinishedThinkingIsAllReasoning) {
  EXPECT_EQ(run("Assistant: <think>", "still thinking\n"), (Split{"still thinking\n", ""}));
}

TEST(ReasoningParser, AClosedOrMissingThinkBlockMeansContent) {
  EXPECT_EQ(run("Assistant: <think>\n\n</think>\n\n", "\nyes</think>no"),
            (Split{"", "\nyes</think>no"}));
  EXPECT_EQ(run("Assistant: ", "yes"), (Split{"", "yes"}));
}

TEST(ReasoningParser, TheLastTagOfThePromptDecides) {
  EXPECT_EQ(run("<think>a</think>b Assistant: <think>", "c"), (Split{"c", ""}));
}

TEST(ReasoningParser, OnlyTheFirstEndTagSplits) {
  EXPECT_EQ(run("<think>", "a</think>b</think>\nc"), (Split{"a", "b</think>\nc"}));
}

TEST(ReasoningParser, ComparesIdsNotText) {
  const Tokenizer& tokenizer = toy_tokenizer();
  auto parser = ReasoningParser::create("ernie-45-vl", tokenizer, tokenizer.encode("<think>"));
  EXPECT_EQ(parser->push(100, "</think>").reasoning, "</think>");
  EXPECT_TRUE(parser->is_reasoning());
  // The tag's delta may bring bytes that were held back, and no text of its own.
  const auto delta = parser->push(*tokenizer.think_end_id(), "\uFFFD");
  EXPECT_EQ(delta.reasoning, "\uFFFD");
  EXPECT_EQ(delta.content, "");
  EXPECT_FALSE(parser->is_reasoning());
}

TEST(ReasoningParser, FindsTagsByTextWhenTheVocabularyHasNone) {
  const TempFolder folder;
  std::filesystem::copy_file(std::filesystem::path(kToyTokenizer) / "tokenizer.model",
                             folder.path() / "tokenizer.model");
  const auto tokenizer = Tokenizer::load(folder.path());
  ASSERT_TRUE(tokenizer);
  ASSERT_FALSE(tokenizer->think_end_id());
  ASSERT_GT(tokenizer->encode("</think>").size(), 2u);
  EXPECT_EQ(run(*tokenizer, "a <think>", "b </thi c</think>\n\nd</think>"),
            (Split{"b </thi c", "d</think>"}));
  EXPECT_EQ(run(*tokenizer, "a <think>", "b </thin"), (Split{"b </thin", ""}));
  EXPECT_EQ(run(*tokenizer, "<think></think>", "b"), (Split{"", "b"}));
}

TEST(ReasoningParser, AnUnknownNameListsTheKnownOnes) {
  const auto parser = ReasoningParser::create("ernie-46", toy_tokenizer(), {});
  ASSERT_FALSE(parser);
  EXPECT_THAT(parser.error().message, HasSubstr("one of: ernie-45-vl; found \"ernie-46\""));
  EXPECT_EQ(parser.error().param, "reasoning_parser");
}

}  // namespace
}  // namespace ernie::text
