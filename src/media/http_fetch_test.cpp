#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>

#include "media/fetcher.h"
#include "media/test_server.h"

namespace ernie::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

FetchPolicy private_policy() {
  FetchPolicy policy;
  policy.allow_private_media = true;
  policy.timeout_ms = 5'000;
  return policy;
}

// The body, or the code of the error, whose message must not tell the URL.
std::string fetch(const std::string& url, const FetchPolicy& policy = private_policy(),
                  const std::atomic<bool>* cancelled = nullptr, const RequestMemory& memory = {}) {
  const std::atomic<bool> never = false;
  Fetcher fetcher(policy, memory);
  std::promise<Result<FetchedMedia>> result;
  fetcher.fetch(0, url, cancelled != nullptr ? *cancelled : never,
                [&](auto media) { result.set_value(std::move(media)); });
  const auto media = result.get_future().get();
  if (media) return {media->bytes.begin(), media->bytes.end()};
  EXPECT_EQ(media.error().message.find("127.0.0.1"), std::string::npos) << media.error().message;
  EXPECT_EQ(media.error().message.find("localhost"), std::string::npos) << media.error().message;
  return media.error().code;
}

TEST(HttpFetch, ABodyComesBackWhole) {
  const std::string body(300'000, 'x');
  TestServer server([&](const std::string&, int fd) { send_text(fd, answer(body)); });
  EXPECT_EQ(fetch(server.url("/a.jpg")), body);
}

TEST(HttpFetch, ABodyForWhichThereIsNoRoomIsNotReadOn) {
  TestServer server(
      [](const std::string&, int fd) { send_text(fd, answer(std::string(300'000, 'x'))); });
  const RequestMemory memory(200'000);  // half of it for what is not decoded yet
  EXPECT_EQ(fetch(server.url("/a.jpg"), private_policy(), nullptr, memory), "too_many_bytes");
  EXPECT_EQ(memory.held->used(), 0u);
}

TEST(HttpFetch, ABodyWithoutLengthEndsWithTheConnection) {
  TestServer server(
      [](const std::string&, int fd) { send_text(fd, "HTTP/1.1 200 OK\r\n\r\nuntil the end"); });
  EXPECT_EQ(fetch(server.url("/")), "until the end");
}

// A53
TEST(HttpFetch, OtherStatusesAndBrokenAnswersFail) {
  TestServer server([](const std::string& path, int fd) {
    if (path == "/404") send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    if (path == "/204") send_text(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    if (path == "/304") send_text(fd, "HTTP/1.1 304 Not Modified\r\n\r\n");
    if (path == "/short") send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
    if (path == "/rubbish") send_text(fd, "SSH-2.0-OpenSSH\r\n");
    if (path == "/nowhere") send_text(fd, "HTTP/1.1 302 Found\r\n\r\n");
    while (path == "/headers" && send_text(fd, "HTTP/1.1 200 OK\r\nX: y\r\nZ: z\r\n")) {
    }
  });
  for (const char* path :
       {"/404", "/204", "/304", "/short", "/rubbish", "/nowhere", "/silent", "/headers"}) {
    EXPECT_EQ(fetch(server.url(path)), "media_fetch_failed") << path;
  }
}

TEST(HttpFetch, AHostThatRefusesFails) {
  std::string url;
  {
    TestServer server([](const std::string&, int) {});
    url = server.url("/");
  }
  EXPECT_EQ(fetch(url), "media_fetch_failed");
}

// A53
TEST(HttpFetch, TheByteLimitHoldsWithAndWithoutDeclaredLength) {
  TestServer server([](const std::string& path, int fd) {
    if (path == "/exact") send_text(fd, answer(std::string(1000, 'x')));
    if (path == "/declared")
      send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n");
    if (path != "/exact" && path != "/declared") send_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (path != "/exact" && send_text(fd, std::string(4096, 'x'))) {
    }
  });
  FetchPolicy policy = private_policy();
  policy.max_bytes = 1000;
  EXPECT_EQ(fetch(server.url("/exact"), policy).size(), 1000u);
  EXPECT_EQ(fetch(server.url("/declared"), policy), "media_too_large");
  EXPECT_EQ(fetch(server.url("/endless"), policy), "media_too_large");
  policy.max_bytes = 999;
  EXPECT_EQ(fetch(server.url("/exact"), policy), "media_too_large");
}

// A53
TEST(HttpFetch, TheTotalTimeHolds) {
  std::atomic<bool> done = false;
  TestServer server([&](const std::string& path, int fd) {
    if (path == "/slow") send_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (!done && (path == "/silent" || send_text(fd, "x"))) {
      std::this_thread::sleep_for(milliseconds(20));
      if (path == "/silent" && recv(fd, nullptr, 0, MSG_DONTWAIT | MSG_PEEK) == 0) break;
    }
  });
  FetchPolicy policy = private_policy();
  policy.timeout_ms = 300;
  for (const char* path : {"/slow", "/silent"}) {
    const auto start = steady_clock::now();
    EXPECT_EQ(fetch(server.url(path), policy), "media_fetch_timeout") << path;
    EXPECT_LT(steady_clock::now() - start, milliseconds(2000)) << path;
  }
  done = true;
}

// A50
TEST(HttpFetch, RedirectsShareOneTimeLimit) {
  TestServer server([](const std::string&, int fd) {
    std::this_thread::sleep_for(milliseconds(200));
    send_text(fd, redirect("/again"));
  });
  FetchPolicy policy = private_policy();
  policy.timeout_ms = 500;
  policy.max_redirects = 100;
  EXPECT_EQ(fetch(server.url("/"), policy), "media_fetch_timeout");
  EXPECT_LE(server.connections(), 3);
}

// A53
TEST(HttpFetch, ATrickleEndsLongBeforeTheTotalTime) {
  std::atomic<bool> done = false;
  TestServer server([&](const std::string&, int fd) {
    send_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (!done && send_text(fd, "x")) std::this_thread::sleep_for(milliseconds(50));
  });
  FetchPolicy policy = private_policy();
  policy.timeout_ms = 60'000;
  policy.low_speed_s = 1;
  const auto start = steady_clock::now();
  EXPECT_EQ(fetch(server.url("/"), policy), "media_fetch_timeout");
  EXPECT_LT(steady_clock::now() - start, milliseconds(10'000));
  done = true;
}

// A50
TEST(HttpFetch, ThreeRedirectsAreFollowedAndNoMore) {
  TestServer server([](const std::string& path, int fd) {
    const int left = std::atoi(path.c_str() + 1);
    send_text(fd, left == 0 ? answer("end") : redirect("/" + std::to_string(left - 1)));
  });
  EXPECT_EQ(fetch(server.url("/3")), "end");
  EXPECT_EQ(server.connections(), 4);
  EXPECT_EQ(fetch(server.url("/20")), "media_url_blocked");
  EXPECT_EQ(server.connections(), 8);
}

// A50
TEST(HttpFetch, ARedirectPassesTheSameChecks) {
  std::string target;
  TestServer server([&](const std::string& path, int fd) {
    send_text(fd, path == "/" ? redirect(target) : answer("followed"));
  });
  for (const std::string to :
       {"file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://127.0.0.1/",
        "data:;base64,aGk=", "http://user@127.0.0.1/x", "http://localhost./"}) {
    target = to;
    const int before = server.connections();
    EXPECT_EQ(fetch(server.url("/")), "media_url_blocked") << to;
    EXPECT_EQ(server.connections(), before + 1) << to;
  }
  target = server.url("/elsewhere");
  EXPECT_EQ(fetch(server.url("/")), "followed");
}

// The name passes the check of the URL's text; only the address it resolves to gives it away, as
// with a public name that an attacker points at a private address. A socket that had been opened
// would give "media_fetch_failed" (nothing listens) or an answer.
// A49
TEST(HttpFetch, ANameThatResolvesToAPrivateAddressIsBlockedAtTheSocket) {
  EXPECT_EQ(fetch("http://localhost/", FetchPolicy{}), "media_url_blocked");
  EXPECT_EQ(fetch("https://localhost/", FetchPolicy{}), "media_url_blocked");
}

// A48
TEST(HttpFetch, LiteralPrivateAddressesAndPortsAreBlockedWithoutAConnection) {
  TestServer server([](const std::string&, int fd) { send_text(fd, answer("reached")); });
  const std::string url = server.url("/");
  const std::string port = url.substr(url.rfind(':'));
  for (const std::string host : {"127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]",
                                 "[::ffff:127.0.0.1]", "127.0.0.1.", "x@127.0.0.1"}) {
    EXPECT_EQ(fetch("http://" + host + port, FetchPolicy{}), "media_url_blocked") << host;
    EXPECT_EQ(fetch("http://" + host + "/", FetchPolicy{}), "media_url_blocked") << host;
  }
  EXPECT_EQ(server.connections(), 0);
}

// A48
TEST(HttpFetch, ProxiesOfTheEnvironmentAreIgnored) {
  TestServer proxy([](const std::string&, int fd) { send_text(fd, answer("proxied")); });
  TestServer server([](const std::string&, int fd) { send_text(fd, answer("direct")); });
  for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) {
    setenv(name, proxy.url("").c_str(), 1);
  }
  EXPECT_EQ(fetch(server.url("/")), "direct");
  for (const char* name : {"http_proxy", "all_proxy", "ALL_PROXY"}) unsetenv(name);
  EXPECT_EQ(proxy.connections(), 0);
}

TEST(HttpFetch, CancellingEndsTheTransferSoon) {
  std::atomic<bool> cancelled = false;
  TestServer server([&](const std::string&, int fd) {
    send_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
    cancelled = true;
    while (send_text(fd, "x")) std::this_thread::sleep_for(milliseconds(10));
  });
  const auto start = steady_clock::now();
  EXPECT_EQ(fetch(server.url("/"), private_policy(), &cancelled), "cancelled");
  EXPECT_LT(steady_clock::now() - start, milliseconds(5000));  // of a transfer without end
}

// A52
TEST(HttpFetch, OtherSchemesAreBlocked) {
  for (const char* url : {"ftp://example.com/x", "gopher://example.com/", "jar:http://x!/y",
                          "javascript:alert(1)", "httpss://example.com/", "//example.com/x", "http",
                          ":", "example.com/x.png", "dict://localhost:11211/stat"}) {
    EXPECT_FALSE(is_http_url(url)) << url;
    EXPECT_EQ(read_media(url, private_policy()).error().code, "media_url_blocked") << url;
    EXPECT_EQ(fetch(url), "media_url_blocked") << url;
  }
  EXPECT_TRUE(is_http_url("http://example.com/x"));
  EXPECT_TRUE(is_http_url("HTTPS://example.com/x"));
}

}  // namespace
}  // namespace ernie::media
