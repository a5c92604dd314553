#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/testing/failing_allocator.h"
#include "http/server_harness.h"

namespace ernie::http {
namespace {

// Not every allocation: where one fails in the middle of making a strand, Boost.Asio itself ends
// the process.
TEST(ServerFailure, A91WithoutMemoryForAConnectionTheServerGoesOn) {
  constexpr const char* kAsk = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  TestServer server({.threads = 1});
  RawClient first = server.connect();  // stays open, so that the next one needs memory
  first.send(kAsk);
  ASSERT_EQ(first.read_response().status, 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the thread is done with that
  fail_allocation("ernie-http", 1);
  RawClient lost = server.connect();
  lost.send(kAsk);
  lost.read_response();
  EXPECT_TRUE(allocation_has_failed());
  fail_allocation("", 0);
  RawClient next = server.connect();
  next.send(kAsk);
  EXPECT_EQ(next.read_response().status, 200);
  server.server().stop();  // which waits for connections that are counted as open
}

}  // namespace
}  // namespace ernie::http
