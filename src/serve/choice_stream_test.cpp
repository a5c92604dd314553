#include "serve/choice_stream.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "serve/testing/test_service.h"

namespace ernie::serve {
namespace {

struct Stops {
  std::vector<std::string> stop;
  bool include = false;
};

text::AnswerParser make_parser(bool thinking, const Stops& stops = {}) {
  return {*tiny_tokenizer(),
          ids(thinking ? "<think>" : "<think></think>"),
          {.syntax = {.thinking = text::AnswerSyntax::Thinking::kSplit},
           .stop = stops.stop,
           .include_stop = stops.include}};
}

ChoiceStream make_stream(ChoiceOptions options, bool thinking = false, const Stops& stops = {}) {
  return ChoiceStream(*tiny_tokenizer(), make_parser(thinking, stops), std::move(options));
}

// The text of a choice as the client has seen it so far.
struct Seen {
  std::string reasoning;
  std::string content;
  std::string finish_reason;
  int deltas = 0;
  size_t token_ids = 0;
  size_t logprobs = 0;

  void add(const std::optional<Delta>& delta) {
    if (!delta) return;
    ++deltas;
    reasoning += delta->reasoning;
    content += delta->content;
    token_ids += delta->token_ids.size();
    logprobs += delta->logprobs.size();
    finish_reason = delta->finish_reason.value_or(finish_reason);
  }
};

Seen run(ChoiceStream stream, const std::vector<int32_t>& tokens,
         engine::FinishReason reason = engine::FinishReason::kLength) {
  Seen seen;
  for (const int32_t id : tokens) {
    seen.add(stream.push(token(id)));
    if (stream.finished()) return seen;
  }
  seen.add(stream.finish(reason));
  return seen;
}

std::vector<int32_t> operator+(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(ChoiceStream, EachTokenIsADelta) {
  const auto tokens = ids("The picture is red.");
  const Seen seen = run(make_stream({}), tokens, engine::FinishReason::kStop);
  EXPECT_EQ(seen.content, "The picture is red.");
  EXPECT_EQ(seen.reasoning, "");
  EXPECT_EQ(seen.deltas, static_cast<int>(tokens.size()) + 1);
  EXPECT_EQ(seen.finish_reason, "stop");
}

TEST(ChoiceStream, TokensAreGatheredOnRequest) {
  const std::vector<int32_t> tokens(10, id("a"));
  const Seen seen = run(make_stream({.tokens_per_delta = 4}), tokens);
  EXPECT_EQ(seen.content, "aaaaaaaaaa");
  EXPECT_EQ(seen.deltas, 3);  // 4, 4, and 2 with the finish
  EXPECT_EQ(seen.finish_reason, "length");
}

TEST(ChoiceStream, ThinkingIsSplitOffAndCounted) {
  ChoiceStream stream = make_stream({}, /*thinking=*/true);
  const auto tokens = ids("I see") + ids("</think>") + ids("\n\nred");
  Seen seen;
  for (const int32_t id : tokens) seen.add(stream.push(token(id)));
  engine::TokenEvent end = token(id("</s>"));
  end.is_stop = true;
  seen.add(stream.push(end));
  seen.add(stream.finish(engine::FinishReason::kStop));
  EXPECT_EQ(seen.reasoning, "I see");
  EXPECT_EQ(seen.content, "red");
  EXPECT_EQ(stream.reasoning_tokens(), static_cast<int>(ids("I see").size()) + 1);
  EXPECT_EQ(stream.generated_tokens(), static_cast<int>(tokens.size()) + 1);
}

TEST(ChoiceStream, ACharacterThatTheEndOfThinkingCutsIsThinking) {
  for (const bool skip : {true, false}) {
    const Seen seen =
        run(make_stream({.skip_special_tokens = skip}, /*thinking=*/true),
            ids("hm") + std::vector<int32_t>{id("<0xE5>"), id("</think>")} + ids("{}"));
    EXPECT_EQ(seen.reasoning, "hm\uFFFD") << skip;
    EXPECT_EQ(seen.content, "{}") << skip;
  }
}

TEST(ChoiceStream, PlainTextIsContent) {
  ChoiceStream stream(*tiny_tokenizer(), {*tiny_tokenizer(), ids("<think>"), {}},
                      {.skip_special_tokens = false});
  EXPECT_EQ(run(std::move(stream), ids("I see</think>red")).content, "I see</think>red");
}

TEST(ChoiceStream, AStopTokenIsCountedButNotShown) {
  ChoiceStream stream =
      make_stream({.skip_special_tokens = false, .want_logprobs = true, .want_token_ids = true});
  engine::TokenEvent end = token(id("</s>"));
  end.is_stop = true;
  EXPECT_FALSE(stream.push(end));
  const auto last = stream.finish(engine::FinishReason::kStop);
  EXPECT_EQ(last->content, "");
  EXPECT_EQ(last->token_ids, (std::vector<int32_t>{id("</s>")}));
  EXPECT_EQ(last->logprobs.size(), 1u);
}

TEST(ChoiceStream, LogprobsNameTextAndBytes) {
  ChoiceStream stream = make_stream({.want_logprobs = true});
  engine::TokenEvent event = token(id("<0xE6>"), -0.5f);
  event.top = {{id("<0xE6>"), -0.5f}, {id("\u2581red"), -1.5f}};
  const auto delta = stream.push(event);
  ASSERT_TRUE(delta);
  ASSERT_EQ(delta->logprobs.size(), 1u);
  const TokenLogprobs& entry = delta->logprobs[0];
  EXPECT_EQ(entry.token.bytes, "\xE6");
  EXPECT_EQ(entry.token.text, "\uFFFD");
  EXPECT_EQ(entry.token.logprob, -0.5f);
  ASSERT_EQ(entry.top.size(), 2u);
  EXPECT_EQ(entry.top[1].text, " red");
  EXPECT_EQ(entry.top[1].logprob, -1.5f);
}

TEST(ChoiceStream, A39StopsEndTheContent) {
  const auto tokens = ids("I see red") + ids("</think>") + ids("a red dog");
  const Seen said = run(make_stream({}, true, {{"red"}}), tokens);
  EXPECT_EQ(said.reasoning, "I see red");
  EXPECT_EQ(said.content, "a ");
  EXPECT_EQ(said.finish_reason, "stop");
  const Seen with = run(make_stream({}, true, {{"re"}, /*include=*/true}), tokens);
  EXPECT_EQ(with.content, "a re");
}

TEST(ChoiceStream, WhatLookedLikeAStopIsGivenBackAtTheEnd) {
  const Seen seen = run(make_stream({}, true, {{"dogs"}}), ids("a dog</think>two dog"));
  EXPECT_EQ(seen.reasoning, "a dog");
  EXPECT_EQ(seen.content, "two dog");
}

TEST(ChoiceStream, CallsHaveIdsOfTheirOwnAndEndTheAnswer) {
  const auto tokens =
      ids("<tool_call>{\"name\": \"see\", \"arguments\": {\"a\": [1, 2]}}"
          "</tool_call>\n<tool_call>{\"name\": \"see\"}</tool_call>");
  text::AnswerParser parser(*tiny_tokenizer(), {}, {.tool_calls = true});
  ChoiceStream stream(*tiny_tokenizer(), std::move(parser), {});
  std::vector<ToolCallDelta> calls;
  int pieces = 0;
  const auto add = [&](const std::optional<Delta>& delta) {
    for (const auto& piece : delta ? delta->calls : std::vector<ToolCallDelta>{}) {
      ++pieces;
      if (!piece.id.empty()) calls.push_back({piece.index, piece.id, piece.name, {}});
      calls.at(piece.index).arguments += piece.arguments;
    }
  };
  for (const int32_t token_id : tokens) add(stream.push(token(token_id)));
  const auto last = stream.finish(engine::FinishReason::kStop);
  add(last);
  EXPECT_EQ(last->finish_reason, "tool_calls");
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].name, "see");
  EXPECT_EQ(calls[0].arguments, "{\"a\": [1, 2]}");
  EXPECT_EQ(calls[1].arguments, "{}");
  EXPECT_TRUE(calls[0].id.starts_with("chatcmpl-tool-"));
  EXPECT_NE(calls[0].id, calls[1].id);
  EXPECT_GT(pieces, 4) << "arguments come as they are written";
}

// --- Any tokens, any stops ---

struct Expected {
  std::string reasoning;
  std::string content;
  bool stopped = false;
};

// The stop that ends first, and the longest of those, by trying all of them.
bool cut_at_stop(std::string* text, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= text->size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (std::string_view(*text).substr(0, end).ends_with(stop))
        longest = std::max(longest, stop.size());
    }
    if (longest == 0) continue;
    text->resize(include ? end : end - longest);
    return true;
  }
  return false;
}

Expected expect(const std::vector<int32_t>& tokens, const Stops& stops) {
  const auto think_end = std::find(tokens.begin(), tokens.end(), id("</think>"));
  Expected out;
  out.reasoning = tiny_tokenizer()->decode({tokens.begin(), think_end});
  if (think_end == tokens.end()) return out;
  out.content = tiny_tokenizer()->decode({think_end + 1, tokens.end()});
  out.content.erase(0, std::min(out.content.find_first_not_of('\n'), out.content.size()));
  out.stopped = cut_at_stop(&out.content, stops.stop, stops.include);
  return out;
}

TEST(ChoiceStream, A39NoPartOfAStopLeaksWhateverTheTokens) {
  const std::vector<std::vector<int32_t>> units = {
      ids("h"),
      ids("e"),
      ids("he"),
      ids("t"),
      {id("\u2581t")},
      ids("\n"),
      {id("\xE6\x83\xB3")},
      // The same character in bytes, an emoji in bytes, a token that is not shown, a lone byte.
      {id("<0xE6>"), id("<0x83>"), id("<0xB3>")},
      {id("<0xF0>"), id("<0x9F>"), id("<0x98>"), id("<0x80>")},
      {id("</s>")},
      {id("<0x80>")},
      ids("</think>")};
  const std::vector<std::string> parts = {
      "h", "e", "t", " ", "\n", "\xE6\x83\xB3", "\xF0\x9F\x98\x80", "\uFFFD"};
  EXPECT_TRUE(rc::check([&] {
    std::vector<int32_t> tokens;
    for (const int unit : *rc::gen::container<std::vector<int>>(
             rc::gen::inRange(0, static_cast<int>(units.size())))) {
      tokens.insert(tokens.end(), units[unit].begin(), units[unit].end());
    }
    ChoiceOptions options;
    Stops stops;
    for (const auto& indices :
         *rc::gen::container<std::vector<std::vector<int>>>(rc::gen::container<std::vector<int>>(
             rc::gen::inRange(0, static_cast<int>(parts.size()))))) {
      std::string stop;
      for (const int part : indices) stop += parts[part];
      if (!stop.empty()) stops.stop.push_back(stop);
    }
    stops.include = *rc::gen::arbitrary<bool>();
    options.tokens_per_delta = *rc::gen::inRange(1, 5);
    options.want_token_ids = options.want_logprobs = true;

    const Expected expected = expect(tokens, stops);
    ChoiceStream stream = make_stream(options, /*thinking=*/true, stops);
    Seen seen;
    size_t pushed = 0;
    while (pushed < tokens.size() && !stream.finished()) {
      seen.add(stream.push(token(tokens[pushed++])));
      RC_ASSERT(expected.reasoning.starts_with(seen.reasoning));
      RC_ASSERT(expected.content.starts_with(seen.content));
    }
    seen.add(stream.finish(engine::FinishReason::kLength));
    RC_ASSERT(seen.reasoning == expected.reasoning);
    RC_ASSERT(seen.content == expected.content);
    RC_ASSERT(seen.finish_reason == (expected.stopped ? "stop" : "length"));
    RC_ASSERT(seen.token_ids == pushed);
    RC_ASSERT(seen.logprobs == pushed);
  }));
}

}  // namespace
}  // namespace ernie::serve
