#include "batch_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <map>

#include "base/result.h"
#include "http/testing/test_api.h"
#include "text/test_support.h"

namespace ernie::app {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

std::string line(const std::string& id, const std::string& body = R"("prompt":"a")",
                 const std::string& url = "/v1/completions") {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":")" + url + R"(","body":{)" + body +
         "}}\n";
}

class Batch : public testing::Test {
 protected:
  BatchFiles files() const {
    return {(folder_.path() / "in").string(), (folder_.path() / "out").string()};
  }
  void input(const std::string& text) const { folder_.write("in", text); }

  BatchResult run(BatchOptions options = {.parallel = 3}) {
    return run_batch(files(), plan_batch(files()), api_.router(), options);
  }
  // Status codes by custom_id; every id once.
  std::map<std::string, int64_t> output() const {
    std::map<std::string, int64_t> codes;
    std::ifstream in(files().output);
    for (std::string text; std::getline(in, text);) {
      const json::value answer = json::parse(text);
      const bool fresh = codes
                             .emplace(answer.at("custom_id").as_string(),
                                      answer.at("response").at("status_code").as_int64())
                             .second;
      EXPECT_TRUE(fresh) << text;
      EXPECT_TRUE(answer.at("response").at("body").is_object());
      EXPECT_TRUE(answer.at("error").is_null());
    }
    return codes;
  }
  std::string fault() const {
    try {
      plan_batch(files());
      return "";
    } catch (const StartError& error) {
      return error.what();
    }
  }

  text::TempFolder folder_;
  http::Api api_{serve::always(http::text_script("red"))};
};

TEST_F(Batch, EveryLineHasItsAnswer) {
  input(line("a") + "\n" + line("b", R"("prompt":"b","temperature":7)") +
        line("c", R"("messages":[{"role":"user","content":"x"}])", "/v1/chat/completions") +
        line("d", R"("x":1)", "/metrics"));
  const BatchResult result = run();
  EXPECT_EQ(result.answered, 4u);
  EXPECT_EQ(result.failed, 2u);
  EXPECT_EQ(output(),
            (std::map<std::string, int64_t>{{"a", 200}, {"b", 400}, {"c", 200}, {"d", 404}}));
}

TEST_F(Batch, GoesOnWhereItWasStopped) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += line("id " + std::to_string(i));
  input(text);
  int begun = 0;
  const BatchResult first = run({.parallel = 1, .stop = [&] { return ++begun > 10; }});
  EXPECT_LT(first.answered, 20u);
  EXPECT_EQ(output().size(), first.answered);
  std::ofstream(files().output, std::ios::app) << R"({"custom_id":"id 19","resp)";
  EXPECT_EQ(run().answered, 20u);
  EXPECT_EQ(output().size(), 20u);
  EXPECT_EQ(plan_batch(files()).done.size(), 20u);
}

TEST_F(Batch, LinesForWhichThereIsNoRoomWait) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += line(std::to_string(i));
  input(text);
  std::atomic<int> refused = 0;
  const std::set<std::string> unlucky = {"cmpl-batch-2", "cmpl-batch-3", "cmpl-batch-5"};
  http::Api busy([&](const engine::GenerationRequest& request, int) -> Result<serve::Script> {
    if (!unlucky.contains(request.id)) return http::text_script("red");
    ++refused;
    return Error{ErrorKind::kRateLimited, "full", {}, "queue_full"};
  });
  const BatchResult result =
      run_batch(files(), plan_batch(files()), busy.router(), {.parallel = 8});
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(result.answered, 30u);
  EXPECT_EQ(result.failed, 0u);
}

TEST_F(Batch, WhatThereIsNoRoomForAloneFails) {
  input(line("a"));
  http::Api full([](const engine::GenerationRequest&, int) -> Result<serve::Script> {
    return Error{ErrorKind::kRateLimited, "full", {}, "queue_full"};
  });
  EXPECT_EQ(run_batch(files(), plan_batch(files()), full.router(), {.parallel = 8}).failed, 1u);
  EXPECT_EQ(output(), (std::map<std::string, int64_t>{{"a", 429}}));
}

TEST_F(Batch, FaultsOfTheFilesAreNamedBeforeAnythingRuns) {
  EXPECT_THAT(fault(), HasSubstr("cannot be read"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "holds no request"},
      {"x\n", "line 1: "},
      {line("a") + line("a"), "line 2: custom_id is \"a\", which an earlier line has"},
      {"{}\n", "line 1: custom_id is missing"},
      {R"({"custom_id":5})", "custom_id should be a string"},
      {R"({"custom_id":"a","method":"GET","url":"/x","body":{}})", "method should be POST"},
      {R"({"custom_id":"a","method":"POST","body":{}})", "url is missing"},
      {R"({"custom_id":"a","method":"POST","url":"/x"})", "body is missing"},
      {line("a", R"("stream":true)"), "body.stream is not supported"}};
  for (const auto& [text, words] : cases) {
    input(text);
    EXPECT_THAT(fault(), HasSubstr(words));
  }
  input(line("a"));
  folder_.write("out", "{\"custom_id\":\"z\"}\n");
  EXPECT_THAT(fault(), HasSubstr("give another --output-file"));
}

}  // namespace
}  // namespace ernie::app
