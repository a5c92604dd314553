// Clients that leave, and those that have only shut down their sending side (A16, A87).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

const char* const kEvents = "text/event-stream";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

enum class Leaving { kClose, kReset, kCloseWithPipelinedInput };

class ServerDisconnect : public testing::TestWithParam<std::tuple<Leaving, bool>> {};

// Without it a request would go on for a client that is gone.
// A87
TEST_P(ServerDisconnect, IsNoticedAtOnce) {
  const auto [leaving, streaming] = GetParam();
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  std::atomic<int> calls = 0;
  if (streaming) {
    writer->start_stream(kEvents);
    writer->write("first");
    EXPECT_THAT(client.read_until("\r\nfirst\r\n"), HasSubstr("HTTP/1.1 200"));
  }
  writer->on_disconnect([&] { ++calls; });
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 0);
  const auto start = Clock::now();
  if (leaving == Leaving::kCloseWithPipelinedInput)
    client.send(std::string(size_t{200} << 10, 'x'));  // more than the server reads ahead
  if (leaving == Leaving::kReset)
    client.reset();
  else
    client.close();
  EXPECT_TRUE(eventually([&] { return calls > 0; }));
  EXPECT_LT(seconds_since(start), 0.5);
  // Registered late it is called at once.
  std::atomic<int> late = 0;
  writer->on_disconnect([&] { ++late; });
  EXPECT_EQ(late, 1);
  writer.reset();
  EXPECT_TRUE(eventually([&] { return server.server().connections() == 0; }));
  EXPECT_EQ(server.server().running_requests(), 0u);
  EXPECT_EQ(calls, 1);
}

INSTANTIATE_TEST_SUITE_P(All, ServerDisconnect,
                         testing::Combine(testing::Values(Leaving::kClose, Leaving::kReset,
                                                          Leaving::kCloseWithPipelinedInput),
                                          testing::Bool()));

// A request that is held, from a client that has shut down its sending side.
struct HalfClosed {
  explicit HalfClosed(TestServer& server) : client(server.connect()) {
    client.send(post_text("/v1/hold", "{}"));
    client.half_close();
    writer = server.held();
    writer->on_disconnect([this] { gone = true; });
  }
  RawClient client;
  std::shared_ptr<ResponseWriter> writer;
  std::atomic<bool> gone = false;
};

TEST(ServerHalfClose, APlainAnswerIsWhole) {
  TestServer server;
  HalfClosed half(server);
  std::this_thread::sleep_for(1500ms);  // two probes
  EXPECT_FALSE(half.gone);
  half.writer->send(200, "text/plain", "still here");
  const RawClient::Response response = half.client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "still here");
  EXPECT_EQ(half.client.read_all(), "");
  ASSERT_TRUE(eventually([&] { return server.records().size() == 1; }));
  EXPECT_EQ(server.records()[0].status, 200);
}

TEST(ServerHalfClose, AStreamIsWhole) {
  TestServer server;
  HalfClosed half(server);
  std::this_thread::sleep_for(50ms);  // the first probe precedes the head
  half.writer->start_stream(kEvents);
  half.writer->write("data: 1\n\n");
  std::this_thread::sleep_for(1200ms);
  EXPECT_FALSE(half.gone);
  half.writer->write("data: 2\n\n");
  half.writer->finish();
  const RawClient::Response response = half.client.read_response();
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(response.body, "data: 1\n\n:\n\ndata: 2\n\n") << "events, and comments between them";
}

TEST(ServerHalfClose, ErrorsAndDroppedWritersAreWholeAnswersToo) {
  TestServer server;
  HalfClosed refused(server), dropped(server);
  std::this_thread::sleep_for(50ms);
  refused.writer->send_error({ErrorKind::kRateLimited, "later", {}, "queue_full"});
  dropped.writer.reset();
  EXPECT_EQ(refused.client.read_response().status, 429);
  EXPECT_EQ(dropped.client.read_response().status, 500);
}

TEST(ServerHalfClose, AllThatWasAskedBeforeIsAnswered) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}") + post_text("/v1/echo", R"({"a":1})"));
  client.half_close();
  server.held()->send(200, "text/plain", "first");
  EXPECT_EQ(client.read_response().body, "first");
  EXPECT_EQ(client.read_response().body, R"({"a":1})");
  EXPECT_EQ(client.read_all(), "");
}

// What it has read of its answer is not unread, so its system says nothing when it closes.
TEST(ServerHalfClose, LeavingLaterIsNoticedToo) {
  for (const bool streaming : {false, true}) {
    TestServer server;
    HalfClosed half(server);
    if (streaming) half.writer->start_stream(kEvents);
    EXPECT_NE(half.client.read_until(streaming ? "\r\n\r\n" : "H"), "");
    half.client.close();
    EXPECT_TRUE(eventually([&] { return half.gone.load(); }, 3s)) << streaming;
  }
}

TEST(ServerStreams, NoDisconnectIsReportedAfterTheAnswer) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  std::atomic<bool> called = false;
  auto token = std::make_shared<int>(1);
  writer->on_disconnect([&called, token] { called = true; });
  EXPECT_EQ(token.use_count(), 2);
  writer->send(200, "text/plain", "done");
  EXPECT_EQ(token.use_count(), 1) << "the callback must not outlive the answer";
  client.read_response();
  client.close();
  EXPECT_TRUE(eventually([&] { return server.server().connections() == 0; }));
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace ernie::http
