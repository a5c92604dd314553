// OpenAI's Responses API over the real service and a scripted engine.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/testing/test_api.h"

namespace ernie::http {
namespace {

namespace json = boost::json;
using serve::Script;

Script stopped(const std::string& text) {
  Script script = text_script(text);
  script.reason = engine::FinishReason::kStop;
  return script;
}

constexpr const char* kTools = R"(,"tools":[{"type":"function","name":"see","parameters":{}}])";
constexpr const char* kAnswer =
    "hm</think>One.\n<tool_call>\n{\"name\": \"see\", \"arguments\": {\"a\": 1}}\n</tool_call>";

std::vector<std::string> types_of(const json::value& output) {
  std::vector<std::string> types;
  for (const json::value& item : output.as_array()) {
    types.emplace_back(item.at("type").as_string());
  }
  return types;
}

const std::vector<std::string> kTypes = {"reasoning", "message", "function_call"};

TEST(Responses, AWholeAnswer) {
  Api api(serve::always(stopped(kAnswer)));
  const json::value body =
      api.post("/v1/responses", std::string(R"({"input":"Hi","instructions":"s")") + kTools + "}")
          ->json();
  EXPECT_TRUE(body.at("id").as_string().starts_with("resp_"));
  EXPECT_EQ(body.at("object"), json::value("response"));
  EXPECT_EQ(body.at("status"), json::value("completed"));
  EXPECT_EQ(body.at("instructions"), json::value("s"));
  EXPECT_EQ(types_of(body.at("output")), kTypes);
  const json::array& output = body.at("output").as_array();
  EXPECT_EQ(output[0].at("content").at(0).at("text"), json::value("hm"));
  EXPECT_EQ(output[1].at("content").at(0).at("text"), json::value("One."));
  EXPECT_EQ(output[2].at("name"), json::value("see"));
  EXPECT_EQ(output[2].at("arguments"), json::value(R"({"a": 1})"));
  EXPECT_TRUE(output[2].at("call_id").as_string().starts_with("chatcmpl-tool-"));
  EXPECT_GT(body.at("usage").at("output_tokens_details").at("reasoning_tokens").as_int64(), 0);
}

TEST(Responses, AnAnswerThatIsCutIsIncomplete) {
  Api api(serve::always(text_script("red")));
  const json::value body =
      api.post("/v1/responses", R"({"input":"Hi","reasoning":{"effort":"none"}})")->json();
  EXPECT_EQ(body.at("status"), json::value("incomplete"));
  EXPECT_EQ(body.at("incomplete_details").at("reason"), json::value("max_output_tokens"));
  EXPECT_EQ(types_of(body.at("output")), (std::vector<std::string>{"message"}));
}

TEST(Responses, AStreamEndsWithTheWholeResponse) {
  Api api(serve::always(stopped(kAnswer)));
  std::string reasoning, text, arguments;
  json::value last;
  int64_t sequence = 0;
  std::vector<std::string> added, done;
  for (const json::value& event :
       api.post("/v1/responses", std::string(R"({"input":"Hi","stream":true)") + kTools + "}")
           ->events()) {
    EXPECT_EQ(event.at("sequence_number"), json::value(sequence++));
    const std::string type(event.at("type").as_string());
    if (type == "response.reasoning_text.delta") reasoning += event.at("delta").as_string();
    if (type == "response.output_text.delta") text += event.at("delta").as_string();
    if (type == "response.function_call_arguments.delta") {
      arguments += event.at("delta").as_string();
    }
    if (type == "response.output_item.added") {
      added.emplace_back(event.at("item").at("type").as_string());
    }
    if (type == "response.output_item.done") {
      done.emplace_back(event.at("item").at("type").as_string());
    }
    last = event;
  }
  EXPECT_EQ(reasoning, "hm");
  EXPECT_EQ(text, "One.");
  EXPECT_EQ(arguments, R"({"a": 1})");
  EXPECT_EQ(added, kTypes);
  EXPECT_EQ(done, kTypes);
  EXPECT_EQ(last.at("type"), json::value("response.completed"));
  EXPECT_EQ(types_of(last.at("response").at("output")), kTypes);
  EXPECT_GT(last.at("response").at("usage").at("output_tokens").as_int64(), 0);
}

// The characters of log-probabilities, one after the other.
std::string text_of(const json::value& logprobs) {
  std::string text;
  for (const json::value& entry : logprobs.as_array()) text += entry.at("token").as_string();
  return text;
}

// Those of the message's tokens alone: neither of thinking and tags nor of calls.
TEST(Responses, LogprobsBelongToTheText) {
  Script script = stopped(kAnswer);
  for (auto& event : script.tokens) event.top = {{event.token, -0.5f}, {serve::id("."), -2.0f}};
  Api api(serve::always(script));
  const std::string request = std::string(R"({"input":"Hi","top_logprobs":2,)") +
                              R"("include":["message.output_text.logprobs"])" + kTools;
  const json::value body = api.post("/v1/responses", request + "}")->json();
  EXPECT_EQ(body.at("top_logprobs"), json::value(2));
  const json::value& logprobs = body.at("output").at(1).at("content").at(0).at("logprobs");
  EXPECT_TRUE(text_of(logprobs).starts_with("One."));
  EXPECT_EQ(text_of(logprobs).find_first_not_of('\n', 4), std::string::npos) << text_of(logprobs);
  EXPECT_EQ(logprobs.at(0).at("top_logprobs").as_array().size(), 2u);
  EXPECT_EQ(logprobs.at(0).at("top_logprobs").at(1).at("logprob"), json::value(-2.0f));

  json::array streamed;
  json::value done, last;
  for (const json::value& event :
       api.post("/v1/responses", request + R"(,"stream":true})")->events()) {
    if (event.at("type") == "response.output_text.delta") {
      for (const json::value& entry : event.at("logprobs").as_array()) streamed.push_back(entry);
    }
    if (event.at("type") == "response.output_text.done") done = event.at("logprobs");
    last = event;
  }
  EXPECT_EQ(json::value(streamed), logprobs);
  EXPECT_EQ(done, logprobs);
  EXPECT_EQ(last.at("response").at("output").at(1).at("content").at(0).at("logprobs"), logprobs);

  const json::value without =
      api.post("/v1/responses", std::string(R"({"input":"Hi")") + kTools + "}")->json();
  EXPECT_EQ(text_of(without.at("output").at(1).at("content").at(0).at("logprobs")), "");
}

TEST(Responses, ItemsAreAConversation) {
  const auto parsed = parse_response(*parse_json_object(R"({"input":[
      {"role":"developer","content":"d"},
      {"role":"user","content":[{"type":"input_text","text":"q"},
        {"type":"input_image","image_url":"u","detail":"auto"}]},
      {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"t"}]},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},
      {"type":"function_call","call_id":"c1","name":"see","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"red"}]})"));
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& messages = parsed->request.chat.messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].parts[1].urls[0], "u");
  EXPECT_EQ(messages[2].reasoning_content, "t");
  EXPECT_EQ(messages[2].parts[0].text, "a");
  EXPECT_EQ(messages[2].tool_calls.at(0).at("id"), json::value("c1"));
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].parts[0].text, "red");
}

TEST(Responses, FieldsAreObeyed) {
  const auto with = [](const std::string& fields) {
    auto parsed = parse_response(*parse_json_object(R"({"input":"Hi",)" + fields + "}"));
    EXPECT_TRUE(parsed) << fields << ": " << parsed.error().message;
    return std::move(parsed->request);
  };
  EXPECT_EQ(with(R"("max_output_tokens":7)").options.max_tokens, 7);
  EXPECT_EQ(with(R"("seed":7)").options.seed, 7u);
  EXPECT_TRUE(with(R"("text":{"format":{"type":"json_schema","name":"n","schema":{}}})")
                  .options.format->grammar.kind == grammar::GrammarKind::kJsonSchema);
  const std::string tools = std::string(kTools).substr(1);
  EXPECT_TRUE(with(tools + R"(,"tool_choice":"required")").tool_use.required);
  EXPECT_TRUE(with(tools + R"(,"tool_choice":{"type":"function","name":"see"})").tool_use.required);
  EXPECT_TRUE(with(tools + R"(,"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[
      {"type":"function","name":"see"}]})")
                  .tool_use.guaranteed);
  EXPECT_FALSE(with(tools + R"(,"parallel_tool_calls":false)").tool_use.parallel);
  with(R"("store":true,"metadata":{"a":"b"},"include":["reasoning.encrypted_content"],
          "truncation":"disabled","background":false,"previous_response_id":null)");
}

TEST(Responses, WhatItCannotDoIsNamed) {
  for (const auto& [fields, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("model":"m")", "input"},
           {R"("input":[])", "input"},
           {R"("input":[5])", "input[0]"},
           {R"("input":[{"role":"king","content":"x"}])", "input[0].role"},
           {R"("input":[{"role":"user"}])", "input[0].content"},
           {R"("input":[{"role":"user","content":[{"type":"input_file"}]}])",
            "input[0].content[0].type"},
           {R"("input":[{"type":"item_reference","id":"x"}])", "input[0].type"},
           {R"("input":"x","previous_response_id":"r")", "previous_response_id"},
           {R"("input":"x","n":2)", "n"},
           {R"("input":"x","metadata":{"a":")" + std::string(1 << 20, 'x') + "\"}", "metadata"},
           {R"("input":"x","enable_thinking":true,"reasoning":{"effort":"none"})",
            "reasoning.effort"},
           {R"("input":"x","chat_template_kwargs":{"a":1})", "chat_template_kwargs"},
           {R"("input":"x","text":{"format":{"type":"json_object"}},"guided_regex":"a")",
            "guided_regex"},
           {R"("input":"x","text":{"verbosity":"low"})", "text.verbosity"},
           {R"("input":"x","top_logprobs":3)", "top_logprobs"},
           {R"("input":"x","mirostat":2)", "mirostat"},
           {R"("input":"x","background":true)", "background"},
           {R"("input":"x","truncation":"auto")", "truncation"},
           {R"("input":"x","tools":[{"type":"web_search"}])", "tools[0].type"},
           {R"("input":"x","text":{"format":{"type":"xml"}})", "text.format.type"}}) {
    const auto parsed = parse_response(*parse_json_object("{" + fields + "}"));
    ASSERT_FALSE(parsed) << fields;
    EXPECT_EQ(parsed.error().param, param) << parsed.error().message;
  }
}

}  // namespace
}  // namespace ernie::http
