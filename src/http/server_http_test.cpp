// What the server makes of the bytes of a request: framing, paths, methods, bodies (A01 to A12).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

using testing::HasSubstr;

const std::string kHost = "Host: localhost\r\n";

std::string get_with(const std::string& header_lines, const std::string& path = "/health") {
  return "GET " + path + " HTTP/1.1\r\n" + kHost + header_lines + "\r\n";
}
std::string post_with(const std::string& header_lines, const std::string& body) {
  return "POST /v1/echo HTTP/1.1\r\n" + kHost + "Content-Type: application/json\r\n" +
         header_lines + "\r\n" + body;
}
std::string chunked(const std::string& body) {
  return post_with("Transfer-Encoding: chunked\r\n", body);
}

// Sends `bytes`, then a request of its own; the first must be refused and the second must get no
// answer, or a smuggled request would.
void expect_refused(const TestServer& server, const std::string& bytes, int status,
                    const std::string& code) {
  SCOPED_TRACE(bytes.substr(0, 120));
  RawClient client = server.connect();
  client.send(bytes);
  client.send(get_with(""));
  RawClient::Response response = client.read_response();
  EXPECT_EQ(response.status, status);
  EXPECT_EQ(error_code_of(response.body), code) << response.body;
  EXPECT_EQ(response.headers["connection"], "close");
  EXPECT_EQ(client.read_all(), "") << "something after a refused request was answered";
}

TEST(ServerHttp, A01HeadersOverTheLimitAre431) {
  TestServer server;
  for (size_t bytes : {size_t{64} << 10, size_t{1} << 20})
    expect_refused(server, get_with("X-Long: " + std::string(bytes, 'a') + "\r\n"), 431,
                   "headers_too_large");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "a: b\r\n";
  expect_refused(server, get_with(many), 431, "headers_too_large");
}

TEST(ServerHttp, A02LongRequestLineIs414) {
  TestServer server;
  expect_refused(server, get_with("", "/" + std::string(64 << 10, 'a')), 414, "uri_too_long");
}

TEST(ServerHttp, A03ContentLengthIsReadStrictly) {
  TestServer server;
  for (const char* value : {"abc", "-1", "+5", " 5 ", "5 ", "0x10", "5,5", "", "5.0",
                            "99999999999999999999", "18446744073709551621"})
    expect_refused(server, post_with("Content-Length: " + std::string(value) + "\r\n", "hello"),
                   400, "invalid_content_length");
  for (const char* second : {"5", "6"})
    expect_refused(
        server,
        post_with("Content-Length: 5\r\nContent-Length: " + std::string(second) + "\r\n", "hello"),
        400, "invalid_content_length");
}

TEST(ServerHttp, A04AmbiguousFramingIs400) {
  TestServer server;
  const std::string chunks = "5\r\nhello\r\n0\r\n\r\n";
  expect_refused(server, post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks),
                 400, "invalid_http_request");
  for (const char* value :
       {"chunked, chunked", "xchunked", "gzip, chunked", "identity", "chunked;q=1", ""})
    expect_refused(server, post_with("Transfer-Encoding: " + std::string(value) + "\r\n", chunks),
                   400, "invalid_transfer_encoding");
  expect_refused(server,
                 post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks),
                 400, "invalid_transfer_encoding");
  for (const std::string& line :
       {std::string("X-A: 1\r\n folded\r\n"), std::string("X-A: 1\nX-B: 2\r\n"),
        std::string("X-A : 1\r\n"), std::string("X\0A: 1\r\n", 9), std::string("X-A: 1\0\r\n", 9),
        std::string("X-A: 1\rX-B: 2\r\n"), std::string(": empty\r\n"), std::string("no colon\r\n"),
        std::string("Transfer-Encoding\t: chunked\r\n"), std::string("\tX-A: 1\r\n")})
    expect_refused(server, get_with(line), 400, "invalid_http_request");
  for (const char* line :
       {"GET /health HTTP/1.1\n", "GET  /health HTTP/1.1\r\n", "GET /health  HTTP/1.1\r\n",
        "GET /health\r\n", "G(T /health HTTP/1.1\r\n", "GET /health HTTP/1.1 \r\n",
        "GET /health http/1.1\r\n", "GET\t/health HTTP/1.1\r\n", "\r\nGET /health HTTP/1.1\r\n"})
    expect_refused(server, line + kHost + "\r\n", 400, "invalid_http_request");
  expect_refused(server, "GET /health HTTP/2.0\r\n" + kHost + "\r\n", 505,
                 "http_version_not_supported");
}

TEST(ServerHttp, A05MalformedOrWastefulChunksAreRefused) {
  TestServer server;
  const auto refused = [&](const std::string& body, int status, const char* code) {
    expect_refused(server, chunked(body), status, code);
  };
  refused("ffffffffffffffff\r\n", 413, "content_too_large");
  refused("-5\r\nhello\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused("0x5\r\nhello\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused(" 5\r\nhello\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused("5\nhello\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused("5\r\nhelloworld\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused("\r\n", 400, "invalid_chunk");
  refused(std::string(1 << 20, '0') + "5\r\nhello\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused("5;" + std::string(1 << 20, 'e') + "\r\nhello\r\n0\r\n\r\n", 400, "invalid_chunk");
  refused("5\r\nhello\r\n0\r\nTrailer: no\r\n\r\n", 400, "invalid_chunk");
  std::string tiny;
  for (int i = 0; i < 500'000; ++i) tiny += "1\r\na\r\n";
  refused(tiny + "0\r\n\r\n", 400, "invalid_chunk");
}

TEST(ServerHttp, ChunkedBodiesArriveWhole) {
  TestServer server;
  RawClient client = server.connect();
  client.send(chunked("5;note=1\r\nhello\r\n00A\r\n, world!!!\r\n0\r\n\r\n"));
  EXPECT_EQ(client.read_response().body, "hello, world!!!");
  // However they are cut.
  for (char c : chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")) client.send(std::string(1, c));
  EXPECT_EQ(client.read_response().body, "hello!");
}

TEST(ServerHttp, A06BodyOverTheLimitIs413BeforeItIsRead) {
  ServerOptions options;
  options.limits.max_body_bytes = 1000;
  TestServer server(options);
  RawClient client = server.connect();
  client.send(post_with("Content-Length: 1001\r\n", ""));  // not a byte of the body is sent
  RawClient::Response response = client.read_response();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(error_code_of(response.body), "content_too_large");
  EXPECT_THAT(response.body, HasSubstr("1000 bytes"));
  expect_refused(server, chunked("3e9\r\n"), 413, "content_too_large");
  expect_refused(server, chunked("3e8\r\n" + std::string(1000, 'a') + "\r\n1\r\na\r\n"), 413,
                 "content_too_large");
  EXPECT_EQ(server.post("/v1/echo", std::string(1000, 'a')).status, 200);
}

TEST(ServerHttp, A06AClientThatSendsOnAfterA413CanStillReadIt) {
  ServerOptions options;
  options.limits.max_body_bytes = 1000;
  TestServer server(options);
  RawClient client = server.connect();
  const std::string body(size_t{4} << 20, 'a');
  client.send(post_with("Content-Length: " + std::to_string(body.size()) + "\r\n", body));
  EXPECT_EQ(client.read_response().status, 413);
}

// A31
TEST(ServerHttp, BodiesOfAllRequestsTogetherAreBounded) {
  ServerOptions options;
  options.memory = RequestMemory(2000);  // half of it for what is not decoded
  TestServer server(options);
  auto others = options.memory.held->acquire(600);
  const RawClient::Response refused = server.post("/v1/echo", std::string(600, 'a'));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(error_code_of(refused.body), "too_many_bytes");
  others.reset();
  EXPECT_EQ(server.post("/v1/echo", std::string(600, 'a')).status, 200);
}

// The answer may take long; the bytes of the question are needed by the handler only.
// A31
TEST(ServerHttp, ABodyThatIsGoneTakesNoRoom) {
  ServerOptions options;
  options.memory = RequestMemory(2000);  // half of it for what is not decoded
  TestServer server(options);
  RawClient first = server.connect();
  first.send(post_text("/v1/hold", std::string(600, 'a')));
  auto writer = server.held();
  EXPECT_TRUE(eventually([&] { return options.memory.held->used() == 0; }));
  writer->send(200, "text/plain", "");
}

// Whole answers get 429 in their place, streams are cut as those that are not read.
// A46
TEST(ServerHttp, AnswersThatAreNotReadTakeTheirShare) {
  ServerOptions options;
  options.memory = RequestMemory(size_t{32} << 20);  // half of it for what is not decoded
  TestServer server(options);
  const std::string large(size_t{12} << 20, 'x');
  RawClient slow(server.port(), 4096), refused = server.connect(), stream(server.port(), 4096);
  slow.send(post_text("/v1/hold", "{}"));
  server.held()->send(200, "text/plain", large);
  EXPECT_GT(options.memory.held->used(), size_t{1} << 20);
  refused.send(post_text("/v1/hold", "{}"));
  server.held()->send(200, "text/plain", large);
  const RawClient::Response answer = refused.read_response();
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(error_code_of(answer.body), "too_many_bytes");
  stream.send(post_text("/v1/hold", "{}"));
  auto writer = server.held();
  writer->start_stream("text/plain");
  EXPECT_FALSE(writer->write(large));
  EXPECT_EQ(slow.read_response().body.size(), large.size());
  EXPECT_TRUE(eventually([&] { return options.memory.held->used() == 0; }));
}

TEST(ServerHttp, A07HostMustBeOneNameOrAddress) {
  TestServer server;
  for (const char* host : {"", "a/b", "a?b", "u@h", "a b", "localhost:port", "localhost:123456",
                           "[::1", "[zz]", "local,host", "loc%61lhost"})
    expect_refused(server, "GET /health HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n", 400,
                   "invalid_host");
  expect_refused(server, "GET /health HTTP/1.1\r\n\r\n", 400, "invalid_host");
  expect_refused(server, "GET /health HTTP/1.1\r\n" + kHost + kHost + "\r\n", 400, "invalid_host");
  for (const char* host : {"localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000"}) {
    RawClient client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
    EXPECT_EQ(client.read_response().status, 200) << host;
  }
}

TEST(ServerHttp, A08OddPathsNeverReachARoute) {
  ServerOptions options;
  options.api_keys = {"secret"};
  TestServer server(options);
  for (const char* path : {"//v1/info", "/v1//info", "/v1/../v1/info", "/v1/./info", "/%76%31/info",
                           "/v1%2", "/v1/%2e%2e/info", "/v1/info%00", "http://localhost/v1/info",
                           "/v1/info#x", "v1/info", "/v1\\info", "*", "/v1/info/.."})
    expect_refused(server, get_with("", path), 400, "invalid_path");
  for (const char* path : {"/v1%2finfo", "/v1/..%2Fv1/info", "/v1/info.", "/v1/info/", "/V1/info",
                           "/v1/INFO", "/v1/info;a", "/"}) {
    const RawClient::Response response = server.get(path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(error_code_of(response.body), "not_found");
  }
}

TEST(ServerHttp, A09WrongMethodsAndUnknownRoutes) {
  TestServer server;
  RawClient client = server.connect();
  client.send("DELETE /health HTTP/1.1\r\n" + kHost + "\r\n");
  RawClient::Response response = client.read_response();
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers["allow"], "GET, HEAD, OPTIONS");
  EXPECT_EQ(error_code_of(response.body), "method_not_allowed");

  client.send("HEAD /health HTTP/1.1\r\n" + kHost + "\r\n");
  response = client.read_response(true);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers["content-length"], "2");

  client.send("OPTIONS /v1/echo HTTP/1.1\r\n" + kHost + "\r\n");
  response = client.read_response();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.headers["allow"], "POST, OPTIONS");

  client.send(get_with("", "/nowhere"));
  EXPECT_EQ(client.read_response().status, 404);
  client.send(get_with(""));
  EXPECT_EQ(client.read_response().body, "ok") << "the connection should have stayed open";
}

TEST(ServerHttp, A10ContentTypeMustBeJson) {
  TestServer server;
  for (const char* line :
       {"Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonx\r\n", ""}) {
    RawClient client = server.connect();
    client.send("POST /v1/echo HTTP/1.1\r\n" + kHost + line + "Content-Length: 2\r\n\r\n{}");
    const RawClient::Response response = client.read_response();
    EXPECT_EQ(response.status, 415) << line;
    EXPECT_EQ(error_code_of(response.body), "unsupported_content_type");
  }
  RawClient client = server.connect();
  client.send("POST /v1/echo HTTP/1.1\r\n" + kHost +
              "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(ServerHttp, A11ExpectUpgradesAndOtherProtocols) {
  TestServer server;
  RawClient client = server.connect();
  client.send(post_with("Expect: 100-continue\r\nContent-Length: 2\r\n", ""));
  EXPECT_EQ(client.read_response().status, 100);
  client.send("{}");
  EXPECT_EQ(client.read_response().body, "{}");

  expect_refused(server, get_with("Expect: something\r\n"), 417, "expectation_failed");
  expect_refused(server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_not_supported");
  RawClient upgrade = server.connect();
  upgrade.send(get_with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"));
  EXPECT_EQ(upgrade.read_response().body, "ok");
  // A TLS hello has no line end to wait for.
  RawClient tls = server.connect();
  tls.send(std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
  EXPECT_EQ(tls.read_response().status, 400);
}

TEST(ServerHttp, A12CompressedBodiesAre415) {
  TestServer server;
  const RawClient::Response response = server.post("/v1/echo", "{}", "Content-Encoding: gzip\r\n");
  EXPECT_EQ(response.status, 415);
  EXPECT_EQ(error_code_of(response.body), "unsupported_content_encoding");
}

TEST(ServerHttp, A16PipelinedRequestsAreAnsweredInOrder) {
  TestServer server;
  RawClient client = server.connect();
  std::string all;
  for (int i = 0; i < 200; ++i) all += get_with("", "/v1/info?n=" + std::to_string(i));
  client.send(all);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(client.read_response().body, "n=" + std::to_string(i));
}

TEST(ServerHttp, Http10ClosesAndTakesNoChunks) {
  TestServer server;
  RawClient client = server.connect();
  client.send("GET /health HTTP/1.0\r\n" + kHost + "\r\n");
  EXPECT_THAT(client.read_all(), HasSubstr("\r\n\r\nok"));
  expect_refused(server,
                 "POST /v1/echo HTTP/1.0\r\n" + kHost +
                     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
                 400, "invalid_http_request");
  RawClient stream = server.connect();
  stream.send("POST /v1/hold HTTP/1.0\r\n" + kHost +
              "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n");
  auto writer = server.held();
  writer->start_stream("text/plain");
  writer->write("one");
  writer->write("two");
  writer->finish();
  EXPECT_THAT(stream.read_all(), HasSubstr("\r\n\r\nonetwo"));
}

// A33
TEST(ServerHttp, RequestIdsAreSanitisedAndReturned) {
  TestServer server;
  EXPECT_EQ(server.get("/health", "X-Request-Id: abc-1.2_3\r\n").headers["x-request-id"],
            "abc-1.2_3");
  for (const std::string& bad :
       {std::string("a b"), std::string("\x1b[31m"), std::string(129, 'a'), std::string("a\xff")}) {
    std::string id =
        server.get("/v1/info", "X-Request-Id: " + bad + "\r\n").headers["x-request-id"];
    if (id.empty()) continue;  // refused as a whole (control characters)
    EXPECT_EQ(id.substr(0, 4), "req-") << bad;
  }
}

}  // namespace
}  // namespace ernie::http
