// Anthropic's Messages API over the real service and a scripted engine.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/testing/test_api.h"

namespace ernie::http {
namespace {

namespace json = boost::json;
using serve::Script;

std::string body_with(const std::string& fields) {
  return R"({"max_tokens":60,"messages":[{"role":"user","content":"Hi"}])" + fields + "}";
}

Script stopped(const std::string& text) {
  Script script = text_script(text);
  script.reason = engine::FinishReason::kStop;
  return script;
}

constexpr const char* kThinking = R"(,"thinking":{"type":"enabled","budget_tokens":20})";
constexpr const char* kTools =
    R"(,"tools":[{"name":"see","input_schema":{"type":"object","properties":{}}}])";
constexpr const char* kCall =
    "One.\n<tool_call>\n{\"name\": \"see\", \"arguments\": {\"a\": 1}}\n</tool_call>";

TEST(Anthropic, AWholeAnswer) {
  Api api(serve::always(stopped("hm</think>red")));
  const json::value body = api.post("/v1/messages", body_with(kThinking))->json();
  EXPECT_TRUE(body.at("id").as_string().starts_with("msg_"));
  EXPECT_EQ(body.at("type"), json::value("message"));
  EXPECT_EQ(body.at("content"), json::parse(R"([{"type":"thinking","thinking":"hm","signature":""},
                            {"type":"text","text":"red"}])"));
  EXPECT_EQ(body.at("stop_reason"), json::value("end_turn"));
  EXPECT_TRUE(body.at("stop_sequence").is_null());
  EXPECT_GT(body.at("usage").at("input_tokens").as_int64(), 0);
  EXPECT_EQ(api.engine().requests()[0].sampling.thinking.max_tokens, 20);
}

TEST(Anthropic, ThinkingIsOffUnlessAskedFor) {
  Api api(serve::always(stopped("red")));
  const json::value body = api.post("/v1/messages", body_with(""))->json();
  EXPECT_EQ(body.at("content"), json::parse(R"([{"type":"text","text":"red"}])"));
}

TEST(Anthropic, EffortAndFormatAreObeyed) {
  const auto with = [](const std::string& fields) {
    auto parsed = parse_anthropic(*parse_json_object(body_with(fields)));
    EXPECT_TRUE(parsed) << fields << ": " << parsed.error().message;
    return std::move(parsed->request);
  };
  const std::string effort = R"(,"output_config":{"effort":"low"})";
  EXPECT_EQ(with(effort).reasoning_limit.share, 0.2);
  EXPECT_EQ(with(effort).chat.enable_thinking, false) << "it only says how much";
  EXPECT_EQ(with(effort + R"(,"thinking":{"type":"adaptive"})").chat.enable_thinking, true);
  EXPECT_EQ(with(R"(,"thinking":{"type":"disabled"})" + effort).chat.enable_thinking, false);
  EXPECT_EQ(with(R"(,"thinking_budget":5)").chat.enable_thinking, true);
  for (const char* format : {R"(,"output_format":{"type":"json_schema","schema":{}})",
                             R"(,"output_config":{"format":{"type":"json_schema","schema":{}}})"}) {
    EXPECT_TRUE(with(format).options.format) << format;
  }
}

TEST(Anthropic, EveryEndHasItsReason) {
  const auto end = [](Script script, const std::string& fields) {
    Api api(serve::always(std::move(script)));
    const json::value body = api.post("/v1/messages", body_with(fields))->json();
    return std::string(body.at("stop_reason").as_string()) +
           (body.at("stop_sequence").is_null() ? "" : " at a stop sequence");
  };
  EXPECT_EQ(end(text_script("red"), ""), "max_tokens");
  EXPECT_EQ(end(stopped("red"), R"(,"stop_sequences":["e"])"), "stop_sequence at a stop sequence");
  EXPECT_EQ(end(stopped(kCall), kTools), "tool_use");
}

TEST(Anthropic, AStreamHasOneOpenBlockAtATime) {
  Api api(serve::always(stopped(std::string("hm</think>") + kCall)));
  std::string order;
  std::string thinking, text, input;
  int open = -1;
  for (const json::value& event :
       api.post("/v1/messages", body_with(std::string(kThinking) + kTools + R"(,"stream":true)"))
           ->events()) {
    const std::string type(event.at("type").as_string());
    if (type == "content_block_start") {
      EXPECT_EQ(open, -1);
      open = static_cast<int>(event.at("index").as_int64());
      order += std::string(event.at("content_block").at("type").as_string()) + " ";
    } else if (type == "content_block_stop") {
      EXPECT_EQ(open, event.at("index").as_int64());
      open = -1;
    } else if (type == "content_block_delta") {
      const json::object& delta = event.at("delta").as_object();
      if (delta.contains("thinking")) thinking += delta.at("thinking").as_string();
      if (delta.contains("text")) text += delta.at("text").as_string();
      if (delta.contains("partial_json")) input += delta.at("partial_json").as_string();
    } else if (type == "message_delta") {
      EXPECT_EQ(event.at("delta").at("stop_reason"), json::value("tool_use"));
      EXPECT_GT(event.at("usage").at("output_tokens").as_int64(), 0);
    } else if (type != "ping") {
      order += type + " ";
    }
  }
  EXPECT_EQ(order, "message_start thinking text tool_use message_stop ");
  EXPECT_EQ(thinking, "hm");
  EXPECT_EQ(text, "One.");
  EXPECT_EQ(input, R"({"a": 1})");
}

TEST(Anthropic, AConversationWithCallsPicturesAndThoughts) {
  const auto parsed = parse_anthropic(*parse_json_object(R"({"max_tokens":5,"system":[
      {"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[
      {"role":"user","content":[{"type":"text","text":"q"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"x"},
        {"type":"text","text":"a"},{"type":"tool_use","id":"c1","name":"see","input":{"x":1}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[
        {"type":"text","text":"r"},{"type":"image","source":{"type":"url","url":"u"}}]},
        {"type":"text","text":"and now?"}]}]})"));
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& messages = parsed->request.chat.messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].parts[1].urls[0], "data:image/png;base64,AA==");
  EXPECT_EQ(messages[2].reasoning_content, "t");
  EXPECT_EQ(messages[2].tool_calls.at(0).at("function").at("arguments"), json::value(R"({"x":1})"));
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].tool_call_id, "c1");
  EXPECT_EQ(messages[3].parts[1].urls[0], "u");
  EXPECT_EQ(messages[4].role, "user");
  EXPECT_EQ(messages[4].parts[0].text, "and now?");
}

// A message without a block that counts used to end the process.
TEST(Anthropic, AMessageMayBeEmpty) {
  Api api(serve::always(stopped("a")));
  for (const char* message :
       {R"({"role":"user","content":[]})", R"({"role":"assistant","content":[]})",
        R"({"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]})"}) {
    const std::string body = R"({"max_tokens":5,"messages":[)" + std::string(message) + "]}";
    EXPECT_EQ(api.post("/v1/messages", body)->status(), 200) << message;
  }
}

TEST(Anthropic, BlocksStandWhereTheyBelong) {
  const auto param = [](const std::string& role, const std::string& block) {
    const auto parsed = parse_anthropic(*parse_json_object(
        R"({"max_tokens":5,"messages":[{"role":")" + role + R"(","content":[)" + block + "]}]}"));
    return parsed ? "" : parsed.error().param;
  };
  const std::string call = R"({"type":"tool_use","id":"c","name":"see","input":{}})";
  const std::string result = R"({"type":"tool_result","tool_use_id":"c","content":"r"})";
  EXPECT_EQ(param("assistant", call), "");
  EXPECT_EQ(param("user", result), "");
  EXPECT_EQ(param("user", call), "messages[0].content[0].type");
  EXPECT_EQ(param("assistant", result), "messages[0].content[0].type");
  for (const std::string& inner : {call, result}) {
    EXPECT_EQ(param("user", R"({"type":"tool_result","content":[)" + inner + "]}"),
              "messages[0].content[0].content[0].type");
  }
}

TEST(Anthropic, ChoicesOfToolsAreObeyed) {
  const auto use = [](const std::string& choice) {
    const auto parsed = parse_anthropic(
        *parse_json_object(body_with(std::string(kTools) + R"(,"tool_choice":)" + choice)));
    EXPECT_TRUE(parsed) << choice;
    return parsed->request.tool_use;
  };
  EXPECT_FALSE(use(R"({"type":"auto"})").required);
  EXPECT_TRUE(use(R"({"type":"any"})").required);
  EXPECT_TRUE(use(R"({"type":"tool","name":"see"})").required);
  EXPECT_TRUE(use(R"({"type":"none"})").tools.empty());
  EXPECT_FALSE(use(R"({"type":"auto","disable_parallel_tool_use":true})").parallel);
}

TEST(Anthropic, AnAnswerThatWasBegunGoesOn) {
  const auto parsed = parse_anthropic(*parse_json_object(
      R"({"max_tokens":5,"messages":[{"role":"user","content":"q"},
          {"role":"assistant","content":"It is"}]})"));
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->request.chat.continue_final_message);
}

TEST(Anthropic, ErrorsHaveItsForm) {
  Api api(serve::always(stopped("a")));
  const auto writer = api.post("/v1/messages", R"({"messages":[]})");
  EXPECT_EQ(writer->status(), 400);
  EXPECT_EQ(json::parse(error_body({ErrorKind::kTooLarge, "m", "p", "c"}, ErrorForm::kAnthropic)),
            json::parse(R"({"type":"error","error":{"message":"m","type":"request_too_large",
                            "param":"p","code":"c","details":{"error_code":"c"}}})"));
  for (const auto& [fields, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("messages":[{"role":"user","content":"x"}])", "max_tokens"},
           {R"("max_tokens":5)", "messages"},
           {R"("max_tokens":5,"n":2,"messages":[{"role":"user","content":"x"}])", "n"},
           {R"("max_tokens":5,"messages":[{"role":"king","content":"x"}])", "messages[0].role"},
           {R"("max_tokens":5,"messages":[{"role":"user","content":[{"type":"document"}]}])",
            "messages[0].content[0].type"},
           {R"("max_tokens":5,"messages":[{"role":"user","content":[{"type":"image",
               "source":{"type":"file"}}]}])",
            "messages[0].content[0].source.type"},
           {R"("max_tokens":5,"system":5,"messages":[{"role":"user","content":"x"}])", "system"},
           {R"("max_tokens":5,"mcp_servers":[{}],"messages":[{"role":"user","content":"x"}])",
            "mcp_servers"},
           {R"("max_tokens":5,"tool_choice":{"type":"any"},"messages":[
               {"role":"user","content":"x"}])",
            "tool_choice.type"}}) {
    const auto parsed = parse_anthropic(*parse_json_object("{" + fields + "}"));
    ASSERT_FALSE(parsed) << fields;
    EXPECT_EQ(parsed.error().param, param) << parsed.error().message;
  }
}

// Upon this very code the official client's tool runner, which asks for such threads, sends whole
// conversations instead.
TEST(Anthropic, ConversationsHeldByTheServerAreRefusedSoThatClientsHoldThem) {
  Api api(serve::always(stopped("a")));
  EXPECT_EQ(api.post("/v1/messages", body_with(R"(,"thread":null)"))->status(), 200);
  for (const char* thread :
       {R"({"type":"create"})", R"({"type":"continue","previous_message_id":"m"})"}) {
    const auto writer = api.post("/v1/messages", body_with(R"(,"thread":)" + std::string(thread)));
    EXPECT_EQ(writer->status(), 400);
    const json::value body = writer->json();
    EXPECT_EQ(body.at("error").at("code"), json::value("thread_unsupported_request"));
  }
}

TEST(Anthropic, CountingCompilesNoGrammar) {
  Api api(serve::always(stopped("a")));
  // No grammar can be made of it.
  const char* body = R"({"messages":[{"role":"user","content":"Hi"}],"tool_choice":{"type":"any"},
      "tools":[{"name":"see","input_schema":{"properties":{"a":{"not":{}}}}}]})";
  EXPECT_EQ(api.post("/v1/messages/count_tokens", body)->status(), 200);
}

TEST(Anthropic, CountsTokensWithoutGenerating) {
  Api api(serve::always(stopped("a")));
  const auto count =
      api.post("/v1/messages/count_tokens", R"({"messages":[{"role":"user","content":"Hi"}]})")
          ->json()
          .at("input_tokens");
  EXPECT_TRUE(api.engine().requests().empty());
  api.post("/v1/messages", body_with(""));
  EXPECT_EQ(count, json::value(api.engine().requests()[0].prompt->tokens.size()));
}

}  // namespace
}  // namespace ernie::http
