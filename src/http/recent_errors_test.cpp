#include "http/recent_errors.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

namespace json = boost::json;

json::array kept(const RecentErrors& errors) {
  return json::parse(errors.to_json()).at("errors").as_array();
}

TEST(RecentErrors, HoldsTheLatestFailuresAndNothingElse) {
  RecentErrors errors;
  errors.add({.method = "GET", .path = "/health", .status = 200});
  EXPECT_TRUE(kept(errors).empty());
  for (size_t i = 0; i < RecentErrors::kKept + 5; ++i) {
    errors.add({.method = "POST",
                .path = "/" + std::to_string(i),
                .request_id = std::to_string(i),
                .status = 429,
                .error_reason = "queue_full"});
  }
  const json::array all = kept(errors);
  ASSERT_EQ(all.size(), RecentErrors::kKept);
  EXPECT_EQ(all[0].at("request_id").as_string(), std::to_string(RecentErrors::kKept + 4));
  EXPECT_EQ(all[0].at("reason"), json::value("queue_full"));
  EXPECT_EQ(all[0].at("status"), json::value(429));
  EXPECT_GT(all[0].at("time").as_double(), 1.7e9);
}

TEST(RecentErrors, WhoRepeatsItselfHidesNoOther) {
  RecentErrors errors;
  errors.add({.path = "/v1/models", .request_id = "a", .status = 500, .error_reason = "numeric"});
  for (size_t i = 0; i < 2 * RecentErrors::kKept; ++i)
    errors.add({.path = "OTHER", .request_id = "b", .status = 404, .error_reason = "not_found"});
  errors.add({.path = "/v1/models", .request_id = "c", .status = 500, .error_reason = "numeric"});
  const json::array all = kept(errors);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].at("count"), json::value(2));
  EXPECT_EQ(all[0].at("request_id"), json::value("c"));
  EXPECT_EQ(all[1].at("count"), json::value(2 * RecentErrors::kKept));
}

// Without it a record could miss one of the ways in which an answer fails.
TEST(RecentErrors, RecordsSayWhyAnAnswerFailed) {
  TestServer server(ServerOptions{.api_keys = {"secret"}});
  const auto reason_of = [&](size_t nth) {
    EXPECT_TRUE(eventually([&] { return server.records().size() > nth; }));
    return server.records().at(nth).error_reason;
  };
  server.get("/nowhere");
  EXPECT_EQ(reason_of(0), "not_found") << "refused by its head";
  server.get("/v1/info");
  EXPECT_EQ(reason_of(1), "invalid_api_key");
  const std::string_view key = "Authorization: Bearer secret\r\n";
  server.get("/v1/info", key);
  EXPECT_EQ(reason_of(2), "");

  const auto hold = [&] {
    RawClient client = server.connect();
    client.send(post_text("/v1/hold", "{}", key));
    return client;
  };
  RawClient refused = hold();
  server.held()->send_error({ErrorKind::kRateLimited, "later", {}, "queue_full"});
  EXPECT_EQ(refused.read_response().status, 429);
  EXPECT_EQ(reason_of(3), "queue_full") << "by a handler";

  RawClient streamed = hold();
  const auto writer = server.held();
  writer->start_stream("text/event-stream");
  writer->write("data: {}\n\n");
  writer->finish_failed({ErrorKind::kInternal, "gone", {}, {}});
  EXPECT_TRUE(streamed.read_response().whole);
  EXPECT_EQ(reason_of(4), "server_error") << "in the middle of a stream";
}

}  // namespace
}  // namespace ernie::http
