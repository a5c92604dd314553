// What the server does over time: slow and vanishing clients, streams, limits, keys, shutting down
// (A13 to A21, A85 to A88).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

const std::string kGetHealth = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TEST(ServerTimeouts, A13SlowHeadersGet408WhileOthersAreServed) {
  ServerOptions options;
  options.limits.header_timeout = 700ms;
  TestServer server(options);
  std::vector<RawClient> slow;
  for (int i = 0; i < 300; ++i) {
    slow.push_back(server.connect());
    slow.back().send("GET /health HTTP/1.1\r\nHost: lo");
  }
  const auto start = Clock::now();
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_LT(seconds_since(start), 1);
  for (int i = 0; i < 10; ++i) {  // a byte now and then does not help
    std::this_thread::sleep_for(20ms);
    slow[0].send("x");
  }
  for (RawClient& client : slow) {
    const RawClient::Response response = client.read_response();
    ASSERT_EQ(response.status, 408);
    ASSERT_EQ(error_code_of(response.body), "header_timeout");
  }
}

// However much came: whoever sends all but the last byte would hold its memory for an hour.
TEST(ServerTimeouts, A14SlowBodyGets408) {
  ServerOptions options;
  options.limits.body_timeout = 200ms;
  TestServer server(options);
  for (const size_t bytes : {1, 3'999'999}) {
    RawClient client = server.connect();
    client.send(
        "POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 4000000\r\n\r\n" +
        std::string(bytes, '{'));
    const RawClient::Response response = client.read_response();
    EXPECT_EQ(response.status, 408);
    EXPECT_EQ(error_code_of(response.body), "body_timeout");
    EXPECT_EQ(client.read_all(), "");
  }
}

TEST(ServerTimeouts, IdleConnectionsAreClosedSilently) {
  ServerOptions options;
  options.limits.idle_timeout = 100ms;
  options.limits.header_timeout = 150ms;
  options.limits.linger_timeout = 50ms;
  TestServer server(options);
  RawClient fresh = server.connect();
  RawClient used = server.connect();
  used.send(kGetHealth);
  EXPECT_EQ(used.read_response().status, 200);
  EXPECT_EQ(used.read_all(), "");
  EXPECT_EQ(fresh.read_all(), "");
  EXPECT_TRUE(eventually([&] { return server.server().connections() == 0; }));
}

TEST(ServerStreams, PiecesArriveAsTheyAreWritten) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  writer->start_stream("text/event-stream", {{"Cache-Control", "no-cache"}});
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("Cache-Control: no-cache\r\n"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(writer->write("data: " + std::to_string(i) + "\n\n"));
    EXPECT_EQ(client.read_until("\n\n\r\n"), "9\r\ndata: " + std::to_string(i) + "\n\n\r\n");
  }
  writer->finish();
  EXPECT_EQ(client.read_until("\r\n\r\n"), "0\r\n\r\n");
  client.send(kGetHealth);  // the connection lives on
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(ServerStreams, WritersMayBeUsedFromManyThreads) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  writer->start_stream("text/plain");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) writer->write("0123456789");
    });
  for (std::thread& thread : threads) thread.join();
  writer->finish();
  const RawClient::Response response = client.read_response();
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(response.body.size(), 40'000u);
}

// A14: without it a client that does not read would keep its request and memory for ever.
TEST(ServerStreams, A14AClientThatDoesNotReadIsCutOffByBytes) {
  ServerOptions options;
  options.limits.max_stream_backlog = 1 << 20;
  TestServer server(options);
  RawClient client(server.port(), 4096);
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  std::atomic<bool> gone = false;
  writer->on_disconnect([&] { gone = true; });
  writer->start_stream("text/plain");
  size_t accepted = 0;
  const std::string piece(16 << 10, 'x');
  while (accepted < (size_t{64} << 20) && writer->write(piece)) accepted += piece.size();
  EXPECT_LT(accepted, size_t{16} << 20);  // the backlog and what the kernel took
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
  EXPECT_FALSE(writer->write(piece));
}

TEST(ServerStreams, A14AClientThatDoesNotReadIsCutOffByTime) {
  ServerOptions options;
  options.limits.write_timeout = 300ms;
  options.limits.max_stream_backlog = 64 << 20;
  TestServer server(options);
  RawClient client(server.port(), 4096);
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  std::atomic<bool> gone = false;
  writer->on_disconnect([&] { gone = true; });
  writer->start_stream("text/plain");
  writer->write(std::string(size_t{16} << 20, 'x'));
  const auto start = Clock::now();
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
  EXPECT_GT(seconds_since(start), 0.2);
  EXPECT_LT(seconds_since(start), 3);
}

TEST(ServerStreams, SlowButReadingClientsGetEverything) {
  ServerOptions options;
  options.limits.write_timeout = 1500ms;
  TestServer server(options);
  RawClient client(server.port(), 4096);
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  writer->send(200, "text/plain", std::string(size_t{8} << 20, 'x'));
  std::this_thread::sleep_for(250ms);
  EXPECT_EQ(client.read_response().body.size(), size_t{8} << 20);
}

TEST(ServerHandlers, ADroppedWriterAnswers500OrCutsTheStream) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  server.held().reset();
  const RawClient::Response response = client.read_response();
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(error_code_of(response.body), "internal_error");
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  writer->start_stream("text/plain");
  writer->write("half");
  writer.reset();
  EXPECT_FALSE(client.read_response().whole);
}

// A15: without it idle connections could lock everybody out.
TEST(ServerConnections, A13A15TheLongestIdleOneMakesRoom) {
  ServerOptions options;
  options.max_connections = 20;
  TestServer server(options);
  std::vector<RawClient> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(server.connect());
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_TRUE(eventually([&] { return server.server().connections() <= 20; }));
  EXPECT_EQ(idle[0].read_all(), "");
}

TEST(ServerConnections, A15BusyOnesAreNotSacrificed) {
  ServerOptions options;
  options.max_connections = 3;
  TestServer server(options);
  RawClient first = server.connect(), second = server.connect();
  first.send(post_text("/v1/hold", "{}"));
  second.send(post_text("/v1/hold", "{}"));
  auto a = server.held(), b = server.held();
  const RawClient::Response refused = server.post("/v1/echo", "{}");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_code_of(refused.body), "too_many_connections");
  EXPECT_EQ(server.get("/health").status, 200) << "a place is kept for it";
  a->send(200, "text/plain", "a");
  b->send(200, "text/plain", "b");
  EXPECT_EQ(first.read_response().body.size() + second.read_response().body.size(), 2u);
}

std::string begin_post(size_t announced) {
  return "POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         "Content-Length: " +
         std::to_string(announced) + "\r\n\r\n";
}

// A13: without it whoever begins requests and does not end them would lock everybody out.
TEST(ServerConnections, A13HalfOpenOnesMakeRoomOldestFirst) {
  ServerOptions options;
  options.max_connections = 20;
  TestServer server(options);
  std::vector<RawClient> strangers;
  for (int i = 0; i < 100; ++i) {
    strangers.push_back(server.connect());
    strangers.back().send(i % 2 ? "GET /hea" : begin_post(10));
    EXPECT_EQ(server.get("/health").status, 200) << i;
  }
  EXPECT_EQ(strangers[0].read_all(), "");
  EXPECT_TRUE(eventually([&] { return server.server().connections() <= 20; }));
}

TEST(ServerConnections, A13HalfOpenOnesOfOneAddressAreFew) {
  ServerOptions options;
  options.max_connections = 40;
  TestServer server(options);
  std::vector<RawClient> strangers;
  for (int i = 0; i < 30; ++i) {
    strangers.push_back(server.connect());
    strangers.back().send("GET /hea");
    std::this_thread::sleep_for(5ms);  // it counts once its head has begun
  }
  EXPECT_TRUE(eventually([&] { return server.server().connections() <= 15; }));
  EXPECT_EQ(strangers[0].read_all(), "");
  strangers.back().send("lth HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(strangers.back().read_response().status, 200) << "the newest ones stay";
}

TEST(ServerConnections, A13AnnouncedBodiesTakeNoSlot) {
  ServerOptions options;
  options.max_concurrency = 1;
  TestServer server(options);
  std::vector<RawClient> strangers;
  for (int i = 0; i < 10; ++i) {
    strangers.push_back(server.connect());
    strangers.back().send(begin_post(10));
  }
  EXPECT_EQ(server.post("/v1/echo", "{}").status, 200);
  EXPECT_TRUE(eventually([&] { return server.server().running_requests() == 0; }));
  strangers[0].send("0123456789");
  EXPECT_EQ(strangers[0].read_response().status, 200);
}

TEST(ServerConnections, A13ABodyThatEndsWhileAllSlotsAreTakenIs429AndKeepsTheConnection) {
  ServerOptions options;
  options.max_concurrency = 1;
  options.memory = RequestMemory(1000);
  TestServer server(options);
  RawClient late = server.connect();
  late.send(begin_post(10) + "01234");
  ASSERT_TRUE(eventually([&] { return options.memory.held->used() == 5; }));
  RawClient first = server.connect();
  first.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  late.send("56789");
  EXPECT_EQ(late.read_response().status, 429);
  writer->send(200, "text/plain", "");
  EXPECT_EQ(first.read_response().status, 200);
  late.send(post_text("/v1/echo", "{}"));
  EXPECT_EQ(late.read_response().status, 200);
}

TEST(ServerConnections, A13RoutesThatReadNoBodyTakeNone) {
  ServerOptions options;
  options.memory = RequestMemory(1000);
  TestServer server(options);
  for (const char* framing : {"Content-Length: 600", "Transfer-Encoding: chunked"}) {
    RawClient client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n" + std::string(framing) + "\r\n\r\n");
    const RawClient::Response refused = client.read_response();
    EXPECT_EQ(refused.status, 413) << framing;
    EXPECT_EQ(error_code_of(refused.body), "body_not_taken");
    client.send(kGetHealth);
    EXPECT_EQ(client.read_all(), "") << "the connection is closed";
  }
  EXPECT_EQ(options.memory.held->used(), 0u);
  EXPECT_EQ(server.get("/health", "Content-Length: 0\r\n").status, 200);
}

TEST(ServerConnections, A16NothingLeaksOverManyConnections) {
  TestServer server;
  for (int i = 0; i < 2000; ++i) {
    RawClient client = server.connect();
    if (i % 4 == 1) client.send("GET /hea");
    if (i % 4 == 2) client.send(kGetHealth);
    if (i % 4 == 3) client.send("POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    if (i % 2 == 0) client.reset();
  }
  EXPECT_TRUE(eventually([&] { return server.server().connections() == 0; }));
  EXPECT_EQ(server.get("/health").status, 200);
}

// A17, A18: without it a route could be open that must not be.
TEST(ServerKeys, A17EveryGuardedRouteNeedsAValidKey) {
  ServerOptions options;
  options.api_keys = {"first-key", "second-key"};
  TestServer server(options);
  for (const char* header :
       {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer \r\n",
        "Authorization: Bearer\r\n", "Authorization: first-key\r\n",
        "Authorization: Basic Zmlyc3Qta2V5\r\n", "Authorization: Bearer first-ke\r\n",
        "Authorization: Bearer first-key2\r\n", "Authorization: Bearer  first-key\r\n",
        "Authorization: Bearer first-key\r\nAuthorization: Bearer first-key\r\n",
        "X-Api-Key: wrong\r\n", "X-Api-Key: Bearer first-key\r\n",
        "X-Api-Key: first-key\r\nX-Api-Key: first-key\r\n",
        "X-Api-Key: first-key\r\nAuthorization: Bearer second-key\r\n",
        "X-Api-Key: first-key\r\nAuthorization: Bearer wrong\r\n"}) {
    for (const char* path : {"/v1/info", "/v1/info?api_key=first-key"}) {
      RawClient::Response response = server.get(path, header);
      EXPECT_EQ(response.status, 401) << header;
      EXPECT_EQ(error_code_of(response.body), "invalid_api_key");
      EXPECT_THAT(response.body, HasSubstr("authentication_error"));
      EXPECT_EQ(response.headers["www-authenticate"], "Bearer");
    }
    EXPECT_EQ(server.post("/v1/echo", "{}", header).status, 401);
  }
  EXPECT_EQ(server.get("/v1/info", "Authorization: Bearer first-key\r\n").status, 200);
  EXPECT_EQ(server.get("/v1/info", "authorization: bearer second-key\r\n").status, 200);
  EXPECT_EQ(server.get("/v1/info", "X-Api-Key: first-key\r\n").status, 200);
  EXPECT_EQ(
      server.get("/v1/info", "X-Api-Key: first-key\r\nauthorization: bearer first-key\r\n").status,
      200);
  EXPECT_EQ(server.get("/health").status, 200);
}

// A20, A21: without them a web page could drive a local server.
TEST(ServerExposure, A21LoopbackWithoutKeysAnswersLoopbackNamesOnly) {
  TestServer server;
  const auto ask = [&](const std::string& host) {
    RawClient client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: " + host + "\r\nOrigin: http://evil.test\r\n\r\n");
    return client.read_response();
  };
  for (const char* host : {"localhost", "localhost:9", "127.0.0.1", "127.8.9.1:80", "[::1]:1"}) {
    const RawClient::Response response = ask(host);
    EXPECT_EQ(response.status, 200) << host;
    for (const auto& [name, value] : response.headers)
      EXPECT_NE(name.substr(0, 14), "access-control") << name;
  }
  for (const char* host : {"evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "10.0.0.1",
                           "0.0.0.0", "[::ffff:10.0.0.1]", "2130706433"}) {
    const RawClient::Response response = ask(host);
    EXPECT_EQ(response.status, 403) << host;
    EXPECT_EQ(error_code_of(response.body), "host_not_allowed");
  }
  ServerOptions keyed;
  keyed.api_keys = {"k"};
  TestServer other(keyed);
  RawClient client = other.connect();
  client.send("GET /health HTTP/1.1\r\nHost: proxy.example\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 200);
}

// A85: without it the number of requests at work would have no bound.
TEST(ServerLoad, A85OverMaxConcurrencyIs429WithRetryAfter) {
  ServerOptions options;
  options.max_concurrency = 2;
  TestServer server(options);
  RawClient first = server.connect(), second = server.connect();
  first.send(post_text("/v1/hold", "{}"));
  second.send(post_text("/v1/hold", "{}"));
  auto a = server.held(), b = server.held();
  EXPECT_EQ(server.server().running_requests(), 2u);
  RawClient::Response refused = server.post("/v1/echo", "{}");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_code_of(refused.body), "too_many_requests");
  EXPECT_THAT(refused.body, HasSubstr("rate_limit_error"));
  EXPECT_EQ(refused.headers["retry-after"], "1");
  EXPECT_EQ(server.get("/health").status, 200);
  a->send(200, "text/plain", "a");
  EXPECT_EQ(server.post("/v1/echo", "{}").status, 200) << "the slot was not given back";
  second.close();
  b.reset();
  EXPECT_TRUE(eventually([&] { return server.server().running_requests() == 0; }));
}

// A88: without it a shutdown would cut answers short, or never end.
TEST(ServerShutdown, A88DrainFinishesWhatRunsAndRefusesWhatIsNew) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  writer->start_stream("text/plain");
  std::atomic<int> drained = -1;
  std::thread drainer([&] { drained = server.server().drain(0ms); });
  EXPECT_TRUE(eventually([&] { return server.server().state() == ServerState::kDraining; }));
  RawClient::Response refused = server.post("/v1/echo", "{}");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(error_code_of(refused.body), "shutting_down");
  EXPECT_THAT(refused.body, HasSubstr("overloaded_error"));
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  EXPECT_EQ(drained, -1);
  writer->write("the end");
  writer->finish();
  const RawClient::Response response = client.read_response();
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(response.body, "the end");
  drainer.join();
  EXPECT_EQ(drained, 1);
}

TEST(ServerShutdown, A88ABodyThatEndsDuringTheDrainIsRefused) {
  ServerOptions options;
  options.memory = RequestMemory(1000);
  TestServer server(options);
  RawClient client = server.connect();
  client.send(begin_post(10) + "01234");
  ASSERT_TRUE(eventually([&] { return options.memory.held->used() == 5; }));
  EXPECT_TRUE(server.server().drain(0ms));
  client.send("56789");
  EXPECT_EQ(client.read_response().status, 503);
}

TEST(ServerShutdown, A88DrainGivesUpAtTheLimitOrWhenAborted) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  EXPECT_FALSE(server.server().drain(50ms));
  EXPECT_FALSE(server.server().drain(0ms, [] { return true; }));
}

TEST(ServerShutdown, StopCutsConnectionsAndLeavesWritersInert) {
  std::shared_ptr<ResponseWriter> writer;
  std::atomic<bool> gone = false;
  {
    TestServer server;
    RawClient client = server.connect(), idle = server.connect();
    client.send(post_text("/v1/hold", "{}"));
    writer = server.held();
    writer->on_disconnect([&] { gone = true; });
    server.server().stop();
    EXPECT_TRUE(gone);
    EXPECT_EQ(client.read_all(), "");
    EXPECT_EQ(idle.read_all(), "");
  }
  writer->start_stream("text/plain");
  EXPECT_FALSE(writer->write("nobody"));
  writer->finish();
}

TEST(ServerStart, WhileStartingEverythingButOpenRoutesIs503) {
  TestServer server({}, ServerState::kStarting);
  for (const char* path : {"/v1/echo", "/v1/chat/completions"}) {
    const RawClient::Response response = server.post(path, "{}");
    EXPECT_EQ(response.status, 503) << path;
    EXPECT_EQ(error_code_of(response.body), "starting");
  }
  EXPECT_EQ(server.get("/health").status, 200);
  server.server().set_state(ServerState::kReady);
  EXPECT_EQ(server.post("/v1/echo", "{}").status, 200);
}

TEST(ServerStart, APortInUseIsAnErrorThatNamesIt) {
  TestServer server;
  ServerOptions options;
  options.port = server.port();
  const auto second = HttpServer::start(options, std::make_shared<Router>());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "address_in_use");
  EXPECT_THAT(second.error().message, HasSubstr("127.0.0.1:" + std::to_string(server.port())));
  options.host = "256.1.1.1";
  EXPECT_EQ(HttpServer::start(options, std::make_shared<Router>()).error().code, "cannot_listen");
}

// A94: without it a client could make endless metric series or forge log lines.
TEST(ServerRecords, A94MethodsAndPathsAreBounded) {
  TestServer server;
  const auto recorded = [&](size_t n) {
    return eventually([&] { return server.records().size() == n; });
  };
  server.get("/v1/info?secret=1");
  ASSERT_TRUE(recorded(1));
  server.get("/random/path");
  ASSERT_TRUE(recorded(2));
  RawClient client = server.connect();
  client.send("BREW /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.read_response();
  ASSERT_TRUE(recorded(3));
  RawClient gone = server.connect();
  gone.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  gone.close();
  std::this_thread::sleep_for(50ms);
  writer.reset();
  ASSERT_TRUE(recorded(4));
  const auto records = server.records();
  EXPECT_EQ(records[0].path, "/v1/info");
  EXPECT_EQ(records[0].status, 200);
  EXPECT_GT(records[0].response_bytes, 0u);
  EXPECT_EQ(records[1].path, "OTHER");
  EXPECT_EQ(records[1].status, 404);
  EXPECT_EQ(records[2].method, "OTHER");
  EXPECT_EQ(records[2].status, 405);
  EXPECT_EQ(records[3].status, 499);
}

TEST(ServerFailure, A91AHandlerThatThrowsIsA500AndEndsAlone) {
  TestServer server;
  auto router = std::make_shared<Router>();
  const auto handler = [](HttpRequest request, const std::shared_ptr<ResponseWriter>& writer) {
    if (request.body == "fail") throw std::bad_alloc();
    writer->send(200, "text/plain", "ok");
  };
  router->add("POST", "/v1/may-fail", {}, handler);
  server.server().set_router(router);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(server.post("/v1/may-fail", "fail").status, 500);
    EXPECT_EQ(server.post("/v1/may-fail", "go").status, 200);
  }
}

}  // namespace
}  // namespace ernie::http
