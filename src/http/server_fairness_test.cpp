// What clients may take from each other: places, requests and memory (A13, A85).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const std::string kFirst = "Authorization: Bearer first\r\n";
const std::string kSecond = "Authorization: Bearer second\r\n";

// Requests that are held, and their writers.
struct Held {
  std::vector<RawClient> clients;
  std::vector<std::shared_ptr<ResponseWriter>> writers;

  void add(TestServer& server, const std::string& key) {
    clients.push_back(server.connect());
    clients.back().send(post_text("/v1/hold", "{}", key));
    writers.push_back(server.held());
  }
};

TEST(ServerFairness, RequestsOfOneKeyHaveALimit) {
  ServerOptions options;
  options.api_keys = {"first", "second"};
  options.max_requests_per_client = 2;
  TestServer server(options);
  Held held;
  for (int i = 0; i < 2; ++i) held.add(server, kFirst);
  const RawClient::Response refused = server.post("/v1/echo", "{}", kFirst);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_code_of(refused.body), "too_many_requests");
  EXPECT_THAT(refused.body, HasSubstr("limit of 2 simultaneous requests (--max-requests-per-"));
  EXPECT_THAT(refused.body, testing::Not(HasSubstr("first")));
  EXPECT_EQ(server.post("/v1/echo", "{}", kSecond).status, 200);
  held.writers[0]->send(200, "text/plain", "");
  EXPECT_EQ(server.post("/v1/echo", "{}", kFirst).status, 200);
}

TEST(ServerFairness, AKeyThatTakesAllSlotsKeepsNobodyOut) {
  ServerOptions options;
  options.api_keys = {"first", "second"};
  options.max_concurrency = 4;
  TestServer server(options);
  Held held;
  for (int i = 0; i < 4; ++i) held.add(server, kFirst);
  EXPECT_EQ(server.post("/v1/echo", "{}", kFirst).status, 429);
  for (int i = 0; i < 2; ++i) held.add(server, kSecond);  // its equal share
  EXPECT_EQ(server.post("/v1/echo", "{}", kSecond).status, 429);
}

}  // namespace
}  // namespace ernie::http
