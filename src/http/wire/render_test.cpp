#include "http/wire/render.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "text/utf8.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

const AnswerHead kHead{"chatcmpl-1", "ernie", 1700000000};

void expect_json(const json::object& actual, const std::string& expected) {
  EXPECT_EQ(json::value(actual), json::parse(expected)) << json::serialize(actual);
}

serve::TokenLogprobs logprobs() {
  return {{"a", "a", -0.5f}, {{"a", "a", -0.5f}, {"\uFFFD", "\xE6\x83", -1.5f}}};
}

serve::Usage usage() {
  return {.prompt_tokens = 10,
          .completion_tokens = 5,
          .cached_tokens = 4,
          .image_tokens = 3,
          .video_tokens = 2,
          .reasoning_tokens = 1};
}

const char* const kUsage = R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
    "prompt_tokens_details":{"cached_tokens":4,"image_tokens":3,"video_tokens":2},
    "completion_tokens_details":{"reasoning_tokens":1,"image_tokens":0}})";

const std::string kLogprobs =
    R"({"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[
    {"token":"a","logprob":-0.5,"bytes":[97]},
    {"token":"bytes:\\xe6\\x83","logprob":-1.5,"bytes":[230,131]}]}]})";

const std::string kHeadJson = R"("id":"chatcmpl-1","created":1700000000,"model":"ernie",)";

json::object parsed(const std::string& text) { return json::parse(text).as_object(); }

TEST(Render, Usage) { expect_json(usage_json(usage()), kUsage); }

TEST(Render, ChatAnswer) {
  GatheredChoice choice;
  choice.add({.content = "re", .reasoning = "hm", .logprobs = {logprobs()}});
  choice.add({.content = "d", .finish_reason = "stop"});
  expect_json(parsed(chat_answer(kHead, {choice}, {}, usage(),
                                 {.logprobs = true, .split_reasoning = true})),
              "{" + kHeadJson + R"("object":"chat.completion","choices":[{"index":0,
      "message":{"role":"assistant","content":"red","reasoning_content":"hm","tool_calls":null},
      "logprobs":)" +
                  kLogprobs + R"(,"finish_reason":"stop"}],"usage":)" + kUsage + "}");
}

TEST(Render, ChatAnswerWithoutExtras) {
  GatheredChoice choice;
  choice.add({.content = "x", .token_ids = {7}, .finish_reason = "length"});
  expect_json(parsed(chat_answer(kHead, {choice}, {}, usage(), {})),
              "{" + kHeadJson + R"("object":"chat.completion","choices":[{"index":0,
      "message":{"role":"assistant","content":"x","reasoning_content":null,"tool_calls":null},
      "logprobs":null,"finish_reason":"length"}],"usage":)" +
                  kUsage + "}");
}

TEST(Render, ChatAnswerWithTokenIds) {
  GatheredChoice choice;
  choice.add({.content = "b", .reasoning = "a", .token_ids = {7, 8}, .finish_reason = "stop"});
  const serve::PromptInfo prompt{.token_ids = {{1, 2}}, .texts = {"<s>Hi"}};
  const auto answer = parsed(chat_answer(kHead, {choice}, prompt, usage(), {.token_ids = true}));
  expect_json(answer.at("choices").at(0).at("message").as_object(),
              R"({"role":"assistant","content":"b","reasoning_content":null,"tool_calls":null,
      "prompt_token_ids":[1,2],"completion_token_ids":[7,8],"prompt_tokens":"<s>Hi",
      "completion_tokens":"ab"})");
}

TEST(Render, CompletionAnswerFindsEachChoicesPrompt) {
  std::vector<GatheredChoice> choices(4);
  for (int i = 0; i < 4; ++i) {
    choices[i].add({.content = std::to_string(i), .token_ids = {i}, .finish_reason = "stop"});
  }
  choices[0].logprobs = {logprobs(), logprobs()};
  const serve::PromptInfo prompt{.token_ids = {{1}, {2}}, .texts = {"A", "B"}};
  const auto answer = parsed(
      completion_answer(kHead, choices, prompt, usage(), {.logprobs = true, .token_ids = true}));
  EXPECT_EQ(answer.at("object"), json::value("text_completion"));
  expect_json(answer.at("choices").at(0).as_object(), R"({"index":0,"text":"0","logprobs":{
      "tokens":["a","a"],"token_logprobs":[-0.5,-0.5],"text_offset":[0,1],
      "top_logprobs":[{"a":-0.5,"bytes:\\xe6\\x83":-1.5},{"a":-0.5,"bytes:\\xe6\\x83":-1.5}]},
      "finish_reason":"stop","prompt_token_ids":[1],"completion_token_ids":[0],"prompt_tokens":"A"})");
  EXPECT_EQ(answer.at("choices").at(1).at("prompt_tokens"), json::value("A"));
  EXPECT_EQ(answer.at("choices").at(2).at("prompt_tokens"), json::value("B"));
  EXPECT_EQ(answer.at("choices").at(3).at("prompt_token_ids"), json::parse("[2]"));
}

std::vector<serve::PromptLogprobs> scored_prompt() {
  return {{{{"é", "é", 0, 5}, {}}, 0},
          {{{"b", "b", -2.0f, 7}, {{"a", "a", -0.5f, 6}, {"b", "b", -2.0f, 7}}}, 2}};
}

TEST(Render, AnEchoHasTheLogprobsOfPromptAndAnswer) {
  std::vector<GatheredChoice> choices(1);
  choices[0].content = "éba";
  choices[0].finish_reason = "length";
  choices[0].prompt = scored_prompt();
  choices[0].logprobs = {logprobs()};
  choices[0].text_begin = 2;
  const auto lists = [&](int most) {
    return parsed(completion_answer(kHead, choices, {}, usage(),
                                    {.logprobs = true, .echo_logprobs = most}))
        .at("choices")
        .at(0)
        .at("logprobs")
        .as_object();
  };
  expect_json(lists(1), R"({"tokens":["é","b","a"],"token_logprobs":[null,-2.0,-0.5],
      "top_logprobs":[null,{"a":-0.5,"b":-2.0},{"a":-0.5,"bytes:\\xe6\\x83":-1.5}],
      "text_offset":[0,1,2]})");
  EXPECT_EQ(lists(0).at("top_logprobs").at(1), json::parse(R"({"b":-2.0})"));
}

TEST(Render, PromptLogprobsAreByTokenId) {
  std::vector<GatheredChoice> choices(2);
  for (GatheredChoice& choice : choices) choice.prompt = scored_prompt();
  const auto expected = json::parse(R"([null,{
      "7":{"logprob":-2.0,"rank":2,"decoded_token":"b"},
      "6":{"logprob":-0.5,"rank":1,"decoded_token":"a"}}])");
  const ShowOptions show{.prompt_logprobs = 2};
  const auto completion = parsed(completion_answer(kHead, choices, {}, usage(), show));
  EXPECT_EQ(completion.at("choices").at(0).at("prompt_logprobs"), expected);
  EXPECT_EQ(completion.at("choices").at(1).at("prompt_logprobs"), expected);
  EXPECT_EQ(parsed(chat_answer(kHead, choices, {}, usage(), show)).at("prompt_logprobs"), expected);
  const auto few = parsed(chat_answer(kHead, choices, {}, usage(), {.prompt_logprobs = 0}));
  EXPECT_EQ(few.at("prompt_logprobs").at(1).as_object().size(), 1u);
  EXPECT_FALSE(parsed(chat_answer(kHead, choices, {}, usage(), {})).contains("prompt_logprobs"));
}

TEST(Render, RoleChunk) {
  expect_json(chat_role_chunk(kHead, 2, {}, {.split_reasoning = true}),
              "{" + kHeadJson + R"("object":"chat.completion.chunk","choices":[{"index":2,
      "delta":{"role":"assistant","content":"","reasoning_content":""},"finish_reason":null}]})");
  const serve::PromptInfo prompt{.token_ids = {{1, 2}}, .texts = {"Hi"}};
  expect_json(chat_role_chunk(kHead, 0, prompt, {.token_ids = true})
                  .at("choices")
                  .at(0)
                  .at("delta")
                  .as_object(),
              R"({"role":"assistant","content":"","prompt_token_ids":[1,2],"prompt_tokens":"Hi"})");
}

TEST(Render, ChatChunkHasOnlyWhatIsThere) {
  const auto choice = [](const serve::Delta& delta, const ShowOptions& show) {
    auto chunk = chat_chunk(kHead, delta, show);
    EXPECT_EQ(chunk.at("object"), json::value("chat.completion.chunk"));
    auto out = chunk.at("choices").at(0).as_object();
    EXPECT_GT(out.at("arrival_time").to_number<double>(), 1.7e9);
    out.erase("arrival_time");
    return out;
  };
  expect_json(choice({.index = 1, .content = "x"}, {}),
              R"({"index":1,"delta":{"content":"x"},"finish_reason":null})");
  expect_json(choice({.reasoning = "y"}, {.split_reasoning = true}),
              R"({"index":0,"delta":{"reasoning_content":"y"},"finish_reason":null})");
  expect_json(choice({.token_ids = {4}, .logprobs = {logprobs()}, .finish_reason = "length"},
                     {.logprobs = true, .token_ids = true}),
              R"({"index":0,"delta":{"completion_token_ids":[4]},"logprobs":)" + kLogprobs +
                  R"(,"finish_reason":"length"})");
}

TEST(Render, CompletionChunk) {
  expect_json(
      completion_chunk(kHead, {.index = 1, .content = "x", .token_ids = {4}}, {.token_ids = true}),
      "{" + kHeadJson + R"("object":"text_completion","choices":[{"index":1,"text":"x",
      "logprobs":null,"completion_token_ids":[4],"finish_reason":null}]})");
}

TEST(Render, UsageChunk) {
  expect_json(
      usage_chunk(kHead, "chat.completion.chunk", usage()),
      "{" + kHeadJson + R"("object":"chat.completion.chunk","choices":[],"usage":)" + kUsage + "}");
}

TEST(Render, AnEventIsOneLine) {
  const std::string event = sse_event({{"text", "a\r\nb\n\ndata: [DONE]"}});
  EXPECT_EQ(event, "data: {\"text\":\"a\\r\\nb\\n\\ndata: [DONE]\"}\n\n");
}

TEST(Render, A29BytesOfTokensNeverBreakTheText) {
  std::string all;
  for (int c = 1; c < 256; ++c) all += static_cast<char>(c);
  GatheredChoice choice;
  choice.logprobs.push_back({{"\uFFFD", all, -1.0f}, {}});
  const std::string text = chat_answer(kHead, {choice}, {}, {}, {.logprobs = true});
  EXPECT_TRUE(text::is_valid_utf8(text));
  EXPECT_EQ(json::parse(text)
                .at("choices")
                .at(0)
                .at("logprobs")
                .at("content")
                .at(0)
                .at("bytes")
                .as_array()
                .size(),
            255u);
}

}  // namespace
}  // namespace ernie::http
