// POST /v1/abort_requests over the real service and a scripted engine.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "http/testing/test_api.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

serve::Script endless() {
  return {.tokens = serve::tokens(std::vector<int32_t>(10, serve::id("a"))),
          .until_cancelled = true};
}

std::string chat(const std::string& id, bool stream) {
  return R"({"messages":[{"role":"user","content":"Hi"}],"request_id":")" + id + R"(","stream":)" +
         (stream ? "true}" : "false}");
}

class Abort : public testing::Test {
 protected:
  std::shared_ptr<RecordingWriter> begin(const std::string& id, ClientId client,
                                         bool stream = false) {
    const size_t before = api_.engine().requests().size();
    auto writer = api_.begin("/v1/chat/completions", chat(id, stream), client);
    while (api_.engine().requests().size() == before) std::this_thread::yield();
    return writer;
  }
  json::value abort(const std::string& body, ClientId client) {
    const auto writer = api_.post("/v1/abort_requests", body, client);
    EXPECT_EQ(writer->status(), 200);
    return writer->json();
  }

  Api api_{serve::always(endless()), {.threads = 1}};
};

json::value result(const char* aborted, const char* not_found) {
  return {{"aborted", json::parse(aborted)}, {"not_found", json::parse(not_found)}};
}

TEST_F(Abort, EndsTheRequestAndSaysSo) {
  const auto whole = begin("one", 1);
  const auto streamed = begin("two", 1, true);
  ASSERT_TRUE(streamed->wait_for_output());
  EXPECT_EQ(abort(R"({"request_ids":["one","chatcmpl-two","three"]})", 1),
            result(R"(["one","chatcmpl-two"])", R"(["three"])"));
  ASSERT_TRUE(whole->wait());
  EXPECT_EQ(whole->status(), 200);
  const json::value choice = whole->json().at("choices").at(0);
  EXPECT_EQ(choice.at("finish_reason"), json::value("abort"));
  EXPECT_TRUE(choice.at("message").at("content").is_string());
  ASSERT_TRUE(streamed->wait());
  const auto events = streamed->events();
  EXPECT_EQ(events.at(events.size() - 2).at("choices").at(0).at("finish_reason"),
            json::value("abort"));
  ASSERT_TRUE(api_.engine().idle());
  EXPECT_EQ(api_.service().finish_reasons(), (std::vector<std::string>{"cancelled", "cancelled"}));
}

TEST_F(Abort, ApisWithoutSuchAnEndingGetAnError) {
  for (const char* path : {"/v1/responses", "/v1/messages"}) {
    for (const bool stream : {false, true}) {
      const size_t before = api_.engine().requests().size();
      const auto writer =
          api_.begin(path,
                     std::string(R"({"request_id":"r","max_tokens":50,)") +
                         R"("input":"Hi","messages":[{"role":"user","content":"Hi"}],)" +
                         (stream ? R"("stream":true})" : R"("stream":false})"),
                     1);
      while (api_.engine().requests().size() == before) std::this_thread::yield();
      if (stream) {
        ASSERT_TRUE(writer->wait_for_output());
      }
      abort(R"({"abort_all":true})", 1);
      ASSERT_TRUE(writer->wait());
      const std::string text =
          stream ? json::serialize(writer->events().back()) : json::serialize(writer->json());
      EXPECT_NE(text.find("/v1/abort_requests"), std::string::npos) << path << text;
      EXPECT_EQ(writer->status(), stream ? 200 : 400);
    }
  }
}

TEST_F(Abort, ReachesAClientsOwnRequestsOnly) {
  const auto mine = begin("same", 1);
  const auto other = begin("same", 2);
  EXPECT_EQ(abort(R"({"request_ids":["same"]})", 1), result(R"(["same"])", "[]"));
  ASSERT_TRUE(mine->wait());
  EXPECT_EQ(abort(R"({"abort_all":true})", 1), result("[]", "[]"));
  EXPECT_EQ(abort(R"({"abort_all":true})", 3), result("[]", "[]"));
  EXPECT_FALSE(other->answered());
  EXPECT_EQ(abort(R"({"abort_all":true})", 2), result(R"(["chatcmpl-same"])", "[]"));
  EXPECT_TRUE(other->wait());
}

TEST_F(Abort, WhatHasEndedIsNotUnderWay) {
  const auto left = begin("left", 1, true);
  left->leave();
  ASSERT_TRUE(api_.engine().idle());
  EXPECT_EQ(abort(R"({"request_ids":["left"]})", 1), result("[]", R"(["left"])"));
  const auto aborted = begin("aborted", 1);
  abort(R"({"abort_all":true})", 1);
  EXPECT_EQ(abort(R"({"request_ids":["aborted"]})", 1), result("[]", R"(["aborted"])"));
}

TEST_F(Abort, DoesNotWaitBehindTheWork) {
  std::promise<void> go;
  const auto released = go.get_future().share();
  api_.service().service->post(0, [released] { released.wait(); });
  EXPECT_EQ(abort(R"({"abort_all":true})", 1), result("[]", "[]"));
  go.set_value();
}

TEST_F(Abort, NeedsIdsOrAllAndNotBoth) {
  for (const char* body : {"{}", R"({"abort_all":false})", R"({"request_ids":[3]})",
                           R"({"request_ids":["a"],"abort_all":true})"}) {
    const auto writer = api_.post("/v1/abort_requests", body);
    EXPECT_EQ(writer->status(), 400) << body;
    EXPECT_EQ(writer->json().at("error").at("param"), json::value("request_ids")) << body;
  }
}

// A generation that is only being prepared, ended before the service has it and after.
class Preparing : public serve::Generation {
 public:
  void cancel() override { cancelled = true; }
  void fail(const Error&) override {}
  void abort(const Error& error) override { code = error.code; }
  std::string code;
  bool cancelled = false;
};

TEST(Watch, AnAbortBeforeTheGenerationReachesIt) {
  RecordingWriter writer;
  const auto under_way = std::make_shared<UnderWay>();
  const auto watch = Watch::over(writer);
  under_way->add(1, "chatcmpl-a", "a", watch);
  EXPECT_EQ(under_way->abort(1, "a"), std::vector<std::string>{"chatcmpl-a"});
  const auto generation = std::make_shared<Preparing>();
  watch->set(generation);
  EXPECT_EQ(generation->code, "aborted");
  EXPECT_TRUE(generation->cancelled);
}

}  // namespace
}  // namespace ernie::http
