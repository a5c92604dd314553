// What clients may take from each other: places, requests and memory (A13, A85).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const std::string kFirst = "Authorization: Bearer first\r\n";
const std::string kSecond = "Authorization: Bearer second\r\n";

std::string begin_post(size_t announced, const std::string& key = {}) {
  return "POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + key +
         "Content-Length: " + std::to_string(announced) + "\r\n\r\n";
}

// Requests that are held, and their writers.
struct Held {
  std::vector<RawClient> clients;
  std::vector<std::shared_ptr<ResponseWriter>> writers;

  void add(TestServer& server, const std::string& key, int count) {
    for (int i = 0; i < count; ++i) {
      clients.push_back(server.connect());
      clients.back().send(post_text("/v1/hold", "{}", key));
      writers.push_back(server.held());
    }
  }
};

ServerOptions with_two_keys() {
  ServerOptions options;
  options.api_keys = {"first", "second"};
  return options;
}

TEST(ServerFairness, RequestsOfOneKeyHaveALimit) {
  ServerOptions options = with_two_keys();
  options.max_requests_per_client = 2;
  TestServer server(options);
  Held held;
  held.add(server, kFirst, 2);
  const RawClient::Response refused = server.post("/v1/echo", "{}", kFirst);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_code_of(refused.body), "too_many_requests");
  EXPECT_THAT(refused.body, HasSubstr("limit of 2 simultaneous requests (--max-requests-per-"));
  EXPECT_THAT(refused.body, testing::Not(HasSubstr("first")));
  EXPECT_EQ(server.post("/v1/echo", "{}", kSecond).status, 200);
  held.writers[0]->send(200, "text/plain", "");
  EXPECT_EQ(server.post("/v1/echo", "{}", kFirst).status, 200);
}

// A85
TEST(ServerFairness, AKeyThatTakesAllSlotsKeepsNobodyOut) {
  ServerOptions options = with_two_keys();
  options.max_concurrency = 4;
  TestServer server(options);
  Held held;
  held.add(server, kFirst, 4);
  RawClient refused = server.connect();
  refused.send(begin_post(900, kFirst));
  EXPECT_EQ(refused.read_response().status, 429) << "before its body";
  held.add(server, kSecond, 2);  // its equal share
  EXPECT_EQ(server.post("/v1/echo", "{}", kSecond).status, 429);
}

ServerOptions with_room(size_t bytes) {
  ServerOptions options;
  options.memory = RequestMemory(2 * bytes);  // half of it for what is not decoded
  return options;
}

// A13: without it bodies held short of their ends would give 429 to everybody for 30 s.
TEST(ServerFairness, A13ABodyThatIsNotWholeMakesRoomForOneThatIs) {
  const ServerOptions options = with_room(1000);
  TestServer server(options);
  std::vector<RawClient> strangers;
  for (int i = 0; i < 3; ++i) {
    strangers.push_back(server.connect());
    strangers.back().send(begin_post(301) + std::string(300, 'a'));
  }
  ASSERT_TRUE(eventually([&] { return options.memory.held->used() == 900; }));
  EXPECT_EQ(server.post("/v1/echo", std::string(600, 'a')).status, 200);
  int evicted = 0;
  for (RawClient& stranger : strangers) {
    stranger.send("a");
    const RawClient::Response response = stranger.read_response();
    if (response.status == 200) continue;
    ++evicted;
    EXPECT_EQ(response.status, 429);
    EXPECT_EQ(error_code_of(response.body), "too_many_bytes");
  }
  EXPECT_EQ(evicted, 2) << "no more than had to";
}

TEST(ServerFairness, A13AnythingThatAWholeRequestNeedsHasPrecedence) {
  const ServerOptions options = with_room(1000);
  TestServer server(options);
  RawClient stranger = server.connect();
  stranger.send(begin_post(901) + std::string(900, 'a'));
  ASSERT_TRUE(eventually([&] { return options.memory.held->used() == 900; }));
  EXPECT_TRUE(options.memory.held->acquire(500)) << "as the parser does";
  EXPECT_EQ(stranger.read_response().status, 429);
}

TEST(ServerFairness, A13ABodyThatIsHeldBackMakesRoomForOneThatComes) {
  const ServerOptions options = with_room(1000);
  TestServer server(options);
  RawClient stranger = server.connect();
  stranger.send(begin_post(901) + std::string(900, 'a'));
  ASSERT_TRUE(eventually([&] { return options.memory.held->used() == 900; }));
  RawClient early = server.connect(), late = server.connect();
  early.send(begin_post(601) + std::string(600, 'a'));
  EXPECT_EQ(early.read_response().status, 429) << "the other one came just as fast until now";
  std::this_thread::sleep_for(2s);
  late.send(begin_post(601) + std::string(600, 'a'));
  EXPECT_EQ(stranger.read_response().status, 429);
  late.send("a");
  EXPECT_EQ(late.read_response().status, 200);
}

TEST(ServerFairness, OpenRoutesAreAnsweredWhenAllMemoryIsTaken) {
  ServerOptions options = with_room(1000);
  options.api_keys = {"first"};
  TestServer server(options);
  const auto router = std::make_shared<Router>();
  for (const char* path : {"/metrics", "/v1/guarded"}) {
    router->add("GET", path, {.requires_key = path == std::string("/v1/guarded")},
                [](HttpRequest, const std::shared_ptr<ResponseWriter>& writer) {
                  writer->send(200, "text/plain", std::string(100'000, 'm'));
                });
  }
  server.server().set_router(router);
  const auto others = options.memory.held->acquire(1000);
  EXPECT_EQ(server.get("/v1/guarded", kFirst).status, 429);
  EXPECT_EQ(server.get("/metrics").body.size(), 100'000u);
}

// Without it, one connection's requests would keep a thread for as long as it sends more.
TEST(ServerFairness, WhoSendsManyRequestsAtOnceTakesTurns) {
  ServerOptions options;
  options.threads = 1;
  TestServer server(options);
  const auto router = std::make_shared<Router>();
  std::atomic<int> slow_ones = 0;
  router->add("GET", "/slow", {.requires_key = false},
              [&](HttpRequest, const std::shared_ptr<ResponseWriter>& writer) {
                std::this_thread::sleep_for(1ms);
                ++slow_ones;
                writer->send(200, "text/plain", "");
              });
  router->add("GET", "/quick", {.requires_key = false},
              [](HttpRequest, const std::shared_ptr<ResponseWriter>& writer) {
                writer->send(200, "text/plain", "");
              });
  server.server().set_router(router);
  RawClient many = server.connect();
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
  many.send(requests);
  ASSERT_TRUE(eventually([&] { return slow_ones > 0; }));
  EXPECT_EQ(server.get("/quick").status, 200);
  EXPECT_LT(slow_ones, 500);
}

TEST(ServerFairness, A13WithoutAKeyNoByteOfABodyIsTaken) {
  ServerOptions options = with_room(1000);
  options.api_keys = {"first"};
  TestServer server(options);
  for (const std::string& key : {std::string(), kSecond}) {
    RawClient stranger = server.connect();
    stranger.send(begin_post(900, key));
    EXPECT_EQ(stranger.read_response().status, 401) << "before its body";
    stranger.send(std::string(500, 'a'));
    EXPECT_EQ(stranger.read_all(), "");
  }
  EXPECT_EQ(options.memory.held->used(), 0u);
}

}  // namespace
}  // namespace ernie::http
