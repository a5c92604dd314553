// The routes of the API over the real service and a scripted engine.

#include "http/api/routes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <future>
#include <limits>
#include <regex>
#include <set>
#include <thread>

#include "http/response_channel.h"
#include "http/testing/test_api.h"

namespace ernie::http {
namespace {

namespace json = boost::json;
using serve::Script;

const char* const kStream =
    R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":9,"stream":true})";

TEST(Routes, ChatWhole) {
  Api api(serve::always(text_script("I see</think>red")),
          {.syntax = {.thinking = text::AnswerSyntax::Thinking::kSplit}});
  const auto writer = api.chat("");
  EXPECT_EQ(writer->status(), 200);
  const auto body = writer->json();
  EXPECT_EQ(body.at("id"), json::value("chatcmpl-req-1"));
  EXPECT_EQ(body.at("model"), json::value("tiny"));
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content"), json::value("red"));
  EXPECT_EQ(body.at("choices").at(0).at("message").at("reasoning_content"), json::value("I see"));
  EXPECT_EQ(api.engine().requests()[0].id, "chatcmpl-req-1");
}

TEST(Routes, ChatStreamed) {
  Api api(serve::always(text_script("a red dog")));
  const auto writer = api.chat(R"(,"stream":true,"request_id":"mine","enable_thinking":false)");
  std::string text;
  for (const auto& event : writer->events()) {
    if (!event.is_object()) continue;
    EXPECT_EQ(event.at("id"), json::value("chatcmpl-mine"));
    const auto& delta = event.at("choices").at(0).at("delta").as_object();
    if (delta.contains("content")) text += delta.at("content").as_string();
  }
  EXPECT_EQ(text, "a red dog");
}

const char* const kTools = R"(,"enable_thinking":false,
    "tools":[{"type":"function","function":{"name":"see"}}])";
const char* const kFunctions = R"(,"enable_thinking":false,"functions":[{"name":"see"}])";

Script call_script() {
  Script script =
      text_script("<tool_call>\n{\"name\": \"see\", \"arguments\": {\"a\": 1}}\n</tool_call>\n");
  script.reason = engine::FinishReason::kStop;
  return script;
}

TEST(Routes, CallsWhole) {
  Api api(serve::always(call_script()));
  const json::value body = api.chat(kTools)->json();
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason"), json::value("tool_calls"));
  EXPECT_TRUE(choice.at("message").at("content").is_null());
  const json::value& call = choice.at("message").at("tool_calls").at(0);
  EXPECT_TRUE(call.at("id").as_string().starts_with("chatcmpl-tool-"));
  EXPECT_EQ(call.at("type"), json::value("function"));
  EXPECT_EQ(call.at("function"), (json::object{{"name", "see"}, {"arguments", "{\"a\": 1}"}}));
}

TEST(Routes, CallsStreamed) {
  Api api(serve::always(call_script()));
  std::string arguments;
  json::array heads;
  json::value finish;
  for (const auto& event : api.chat(std::string(kTools) + R"(,"stream":true)")->events()) {
    if (!event.is_object()) continue;
    const json::value& choice = event.at("choices").at(0);
    finish = choice.at("finish_reason");
    const json::value* calls = choice.at("delta").as_object().if_contains("tool_calls");
    if (!calls) continue;
    EXPECT_EQ(calls->at(0).at("index"), json::value(0));
    arguments += calls->at(0).at("function").at("arguments").as_string();
    if (calls->at(0).as_object().contains("id")) heads.push_back(calls->at(0));
  }
  EXPECT_EQ(arguments, "{\"a\": 1}");
  ASSERT_EQ(heads.size(), 1u);
  EXPECT_EQ(heads[0].at("function").at("name"), json::value("see"));
  EXPECT_EQ(finish, json::value("tool_calls"));
}

TEST(Routes, CallsInTheOlderForm) {
  Api api(serve::always(call_script()));
  const json::value body = api.chat(kFunctions)->json();
  const json::value& choice = body.at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason"), json::value("function_call"));
  EXPECT_EQ(choice.at("message").at("function_call").at("name"), json::value("see"));
  std::string arguments;
  for (const auto& event : api.chat(std::string(kFunctions) + R"(,"stream":true)")->events()) {
    if (!event.is_object()) continue;
    const auto& delta = event.at("choices").at(0).at("delta").as_object();
    if (const json::value* call = delta.if_contains("function_call")) {
      arguments += call->at("arguments").as_string();
    }
  }
  EXPECT_EQ(arguments, "{\"a\": 1}");
}

TEST(Routes, WithoutToolsACallIsText) {
  Api api(serve::always(call_script()));
  const std::string none = std::string(kTools) + R"(,"tool_choice":"none")";
  for (const std::string& fields : {none, std::string(R"(,"enable_thinking":false)")}) {
    const json::value body = api.chat(fields)->json();
    const json::value& choice = body.at("choices").at(0);
    EXPECT_EQ(choice.at("finish_reason"), json::value("stop"));
    EXPECT_TRUE(choice.at("message").at("tool_calls").is_null());
    EXPECT_TRUE(choice.at("message").at("content").as_string().find("\"see\"") !=
                json::string::npos);
  }
}

TEST(Routes, GuaranteedCallsFollowAGrammar) {
  Api api(serve::always(call_script()));
  api.chat(kTools);
  api.chat(std::string(kTools) + R"(,"tool_choice":"required")");
  api.chat(std::string(kTools) + R"(,"response_format":{"type":"json_object"})");
  const auto requests = api.engine().requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_FALSE(requests[0].sampling.grammar);
  EXPECT_TRUE(requests[1].sampling.grammar);
  EXPECT_TRUE(requests[2].sampling.grammar);
  const auto writer = api.chat(R"(,"tool_choice":"required","tools":[{"type":"function",
      "function":{"name":"see","parameters":{"properties":{"a":{"not":{}}}}}}])");
  EXPECT_EQ(writer->status(), 400);
  EXPECT_EQ(writer->json().at("error").at("param"), json::value("tools[0].function.parameters"));
}

TEST(Routes, OneCallEndsTheAnswerWhereNoMoreAreWanted) {
  Script script = call_script();
  const auto again = script.tokens;
  script.tokens.insert(script.tokens.end(), again.begin(), again.end());
  script.until_cancelled = true;
  Api api(serve::always(script));
  const json::value body =
      api.chat(std::string(kTools) + R"(,"parallel_tool_calls":false)")->json();
  EXPECT_EQ(body.at("choices").at(0).at("message").at("tool_calls").as_array().size(), 1u);
  EXPECT_EQ(body.at("choices").at(0).at("finish_reason"), json::value("tool_calls"));
}

TEST(Routes, CompletionsCountChoicesOverAllPrompts) {
  Api api([](const engine::GenerationRequest&, int number) -> Result<Script> {
    return text_script(std::to_string(number));
  });
  const auto writer =
      api.begin("/v1/completions", R"({"prompt":["A","B"],"n":2,"echo":true,"max_tokens":4})");
  ASSERT_TRUE(writer->wait());
  const auto body = writer->json();
  EXPECT_EQ(body.at("id"), json::value("cmpl-req-1"));
  std::vector<std::string> texts;
  for (const auto& choice : body.at("choices").as_array())
    texts.emplace_back(choice.at("text").as_string());
  EXPECT_EQ(texts, (std::vector<std::string>{"A0", "A1", "B2", "B3"}));
}

TEST(Routes, ModelNamesAreHeldAgainstTheServedOne) {
  Api api(serve::always(text_script("a")));
  EXPECT_EQ(api.chat(R"(,"model":"tiny")")->status(), 200);
  const auto writer = api.chat(R"(,"model":"other")");
  EXPECT_EQ(writer->status(), 404);
  EXPECT_EQ(writer->json().at("error").at("param"), json::value("model"));
}

// --max-logprobs -1 allows what the device gives, and what it gives is known at start.
TEST(Routes, MoreLogprobsThanTheDeviceGivesAreA400) {
  Api api(serve::always(text_script("a")), {.max_logprobs = std::numeric_limits<int>::max()});
  api.engine().limits.top_logprobs = 32;
  EXPECT_EQ(api.chat(R"(,"logprobs":true,"top_logprobs":32)")->status(), 200);
  for (const char* fields : {R"(,"logprobs":true,"top_logprobs":33)",
                             R"(,"logprobs":true,"top_logprobs":1000000,"stream":true)"}) {
    const auto writer = api.chat(fields);
    EXPECT_EQ(writer->status(), 400);
    EXPECT_EQ(writer->json().at("error").at("param"), json::value("top_logprobs"));
  }
}

// A93
TEST(Routes, ErrorsHaveFourKeysAndNoPaths) {
  Api api(serve::always(text_script("a")));
  for (const char* fields : {R"(,"temperature":3)", R"(,"tools":[1])", R"(,"model":"other")",
                             R"(,"bad_words":["a b c d e f g h i j k l m n o p q r s t"])",
                             R"(,"logit_bias":{"736":1})", R"(,"a":})"}) {
    const auto writer = api.chat(fields);
    EXPECT_GE(writer->status(), 400);
    const auto body = writer->json().as_object();
    ASSERT_EQ(body.size(), 1u);
    const auto& error = body.at("error").as_object();
    EXPECT_EQ(error.size(), 4u);
    for (const char* key : {"message", "type", "param", "code"}) EXPECT_TRUE(error.contains(key));
    // Neither a path, nor a source file, nor an address.
    const std::string message(error.at("message").as_string());
    static const std::regex inside(R"((^|[\s'"(=])/\w|\.(cpp|h|cu)\b|0x[0-9a-f]{4})");
    EXPECT_FALSE(std::regex_search(message, inside)) << message;
  }
}

TEST(Routes, A85ARefusingEngineIsA429) {
  Api api([](const engine::GenerationRequest&, int) -> Result<Script> {
    return Error{ErrorKind::kRateLimited, "the queue is full", {}, "queue_full"};
  });
  EXPECT_EQ(api.chat("")->status(), 429);
  EXPECT_EQ(api.chat(R"(,"stream":true)")->status(), 429);
  EXPECT_FALSE(error_headers({ErrorKind::kRateLimited, "", {}, {}}).empty()) << "Retry-After";
}

TEST(Routes, A91WhatFailsInsideIsAnAnswer) {
  int calls = 0;
  Api api([&](const engine::GenerationRequest&, int) -> Result<Script> {
    if (++calls == 1) throw std::bad_alloc();
    throw std::runtime_error("anything");
  });
  EXPECT_EQ(api.chat("")->status(), 503);
  EXPECT_EQ(api.chat(R"(,"stream":true)")->status(), 500);
}

TEST(Routes, HealthFollowsTheEngine) {
  Api api(serve::always(text_script("a")));
  for (const char* path : {"/health", "/ping"}) {
    EXPECT_EQ(api.get(path)->status(), 200);
    api.ready = false;
    EXPECT_EQ(api.get(path)->status(), 503);
    api.ready = true;
    api.engine().healthy = false;
    EXPECT_EQ(api.get(path)->status(), 503);
    api.engine().healthy = true;
  }
}

TEST(Routes, LoadAndConfigurationAreShown) {
  Api api(serve::always(text_script("a")));
  EXPECT_EQ(api.get("/config-info")->json(), json::parse(R"({"flags":{"port":1}})"));
  api.engine().set_load({.running = 2,
                         .waiting = 3,
                         .total_blocks = 8,
                         .free_blocks = 1,
                         .available_blocks = 6,
                         .steps = 40});
  const auto load = api.get("/load")->json();
  EXPECT_EQ(load.at("running"), json::value(2));
  EXPECT_EQ(load.at("waiting"), json::value(3));
  EXPECT_EQ(load.at("kv_usage"), json::value(0.25));
  EXPECT_EQ(load.at("kv_blocks").at("free"), json::value(1));
  EXPECT_EQ(load.at("totals").at("steps"), json::value(40));
  EXPECT_TRUE(api.get("/errors")->json().at("errors").as_array().empty());
  api.errors.add({.path = "/v1/models", .status = 401, .error_reason = "invalid_api_key"});
  EXPECT_EQ(api.get("/errors")->json().at("errors").at(0).at("reason"),
            json::value("invalid_api_key"));
}

TEST(Routes, ModelsNameTheOneServed) {
  Api api(serve::always(text_script("a")));
  const auto body = api.get("/v1/models")->json();
  EXPECT_EQ(body.at("data").at(0).at("id"), json::value("tiny"));
  EXPECT_EQ(body.at("data").at(0).at("max_model_len"), json::value(512));
}

TEST(Routes, OneModelIsShownByItsName) {
  Api api(serve::always(text_script("a")), {}, "baidu/ERNIE:4.5");
  const auto listed = api.get("/v1/models")->json().at("data").at(0).at("id");
  for (const char* path : {"/v1/models/baidu/ERNIE:4.5", "/v1/models/baidu%2FERNIE:4.5",
                           "/v1/models/baidu%2fERNIE%3A4.5"}) {
    const auto writer = api.get(path);
    EXPECT_EQ(writer->status(), 200) << path;
    EXPECT_EQ(writer->json().at("id"), listed);
    EXPECT_EQ(writer->json().at("object"), json::value("model"));
  }
  for (const char* path : {"/v1/models/baidu", "/v1/models/other", "/v1/models/baidu%2",
                           "/v1/models/baidu/ERNIE:4.5/x", "/v1/models/baidu%252FERNIE:4.5"}) {
    const auto writer = api.get(path);
    EXPECT_EQ(writer->status(), 404) << path;
    EXPECT_EQ(writer->json().at("error").at("param"), json::value("model"));
  }
  EXPECT_EQ(api.router().find("GET", "/v1/models/"), nullptr);
}

// A18
TEST(Routes, OnlyHealthRoutesAreOpen) {
  Api api(serve::always(text_script("a")));
  const std::set<std::string> open_paths{"/health", "/ping", "/load", "/config-info", "/errors"};
  for (const Route& route : api.router().routes()) {
    EXPECT_EQ(route.options.requires_key, !open_paths.contains(route.path)) << route.path;
    EXPECT_EQ(route.options.requires_json, route.method == "POST") << route.path;
    const bool is_work = route.method == "POST" && route.path != "/v1/abort_requests";
    EXPECT_EQ(route.options.is_inference, is_work) << route.path;
  }
}

Script endless() {
  return {.tokens = serve::tokens(std::vector<int32_t>(1000, serve::id("a"))),
          .until_cancelled = true};
}

TEST(Routes, A87AClientThatLeavesWhileTokensComeIsCancelled) {
  Api api(serve::always(endless()));
  const auto writer = api.begin("/v1/chat/completions", kStream);
  ASSERT_TRUE(writer->wait_for_output());
  writer->leave();
  ASSERT_TRUE(api.engine().idle());
  EXPECT_EQ(api.service().finish_reasons(), (std::vector<std::string>{"cancelled"}));
}

TEST(Routes, A87AClientThatLeavesWhileItsBodyWaitsCostsNothing) {
  Api api(serve::always(endless()), {.threads = 1});
  std::promise<void> go;
  api.service().service->post(0, [&] { go.get_future().wait(); });
  const auto writer = api.begin("/v1/chat/completions", kStream);
  writer->leave();
  go.set_value();
  std::promise<void> done;
  api.service().service->post(0, [&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_TRUE(api.engine().requests().empty());
  EXPECT_FALSE(writer->answered());
}

TEST(Routes, ClientsTakeTurnsFromTheFirstByteToTheEngine) {
  Api api(serve::always(text_script("a")), {.threads = 1});
  std::promise<void> go;
  api.service().service->post(0, [&] { go.get_future().wait(); });
  for (int i = 0; i < 10; ++i) api.begin("/v1/chat/completions", kStream, 1);
  const auto other = api.begin("/v1/chat/completions", kStream, 2);
  go.set_value();
  ASSERT_TRUE(other->wait());
  const auto requests = api.engine().requests();
  const auto place = std::ranges::find(requests, 2u, &engine::GenerationRequest::client);
  ASSERT_NE(place, requests.end());
  EXPECT_LE(place - requests.begin(), 1);
}

// Writing, leaving and finishing meet at every moment over the server's own channel: nothing may
// lock up, and the engine must be free afterwards.
TEST(Routes, A87LeavingAtAnyMomentLocksNothingUp) {
  Api api(serve::always(endless()));
  for (int round = 0; round < 200; ++round) {
    auto channel = std::make_shared<ResponseChannel>(
        ResponseChannel::Options{.max_backlog = 1 << 20, .wake = [] {}});
    api.call("POST", "/v1/chat/completions", kStream, make_writer(channel));
    std::this_thread::sleep_for(std::chrono::microseconds(round * 20));
    if (round % 2) channel->probe();
    channel->close();
  }
  ASSERT_TRUE(api.engine().idle());
}

TEST(Routes, A87AClientThatStopsReadingIsCutAndCancelled) {
  Api api(serve::always(endless()));
  auto channel = std::make_shared<ResponseChannel>(
      ResponseChannel::Options{.max_backlog = 1000, .wake = [] {}});
  api.call("POST", "/v1/chat/completions", kStream, make_writer(channel));
  while (!channel->take().cut) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  channel->close();  // what the connection does when it finds a channel cut
  ASSERT_TRUE(api.engine().idle());
  EXPECT_EQ(api.service().finish_reasons(), (std::vector<std::string>{"cancelled"}));
}

}  // namespace
}  // namespace ernie::http
