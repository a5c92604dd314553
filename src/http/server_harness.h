#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace ernie::http {

// A TCP client that sends raw bytes. Reads give up after ten seconds.
class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer_bytes = 0);
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~RawClient() { close(); }

  bool send(std::string_view bytes);  // false: the server closed the connection
  std::string read_until(
      std::string_view end);  // up to and with `end`, or what came before the close
  std::string read_all();     // until the server closes
  void half_close();
  void reset();  // closes with RST
  void close();

  struct Response {
    int status = 0;                              // 0: the connection ended before a whole response
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;                            // chunks joined
    bool whole = false;                          // the body came to its announced end
  };
  Response read_response(bool head_only = false);

 private:
  std::string read_some();  // empty at the end of the stream
  bool fill();

  int fd_ = -1;
  std::string buffer_;
};

// A server on a free loopback port with routes to test against:
//   GET  /health    open, "ok"
//   GET  /v1/info   needs a key
//   POST /v1/echo   needs a key and JSON, is inference: answers the body
//   POST /v1/hold   like echo, but only hands the writer to held()
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {}, ServerState state = ServerState::kReady);

  HttpServer& server() { return *server_; }
  uint16_t port() const { return server_->port(); }
  RawClient connect() const { return RawClient(port()); }

  // Sends one request on a fresh connection.
  RawClient::Response get(std::string_view path, std::string_view extra_headers = {}) const;
  RawClient::Response post(std::string_view path, std::string_view body,
                           std::string_view extra_headers = {}) const;

  // The next writer that /v1/hold got.
  std::shared_ptr<ResponseWriter> held();
  std::vector<AccessRecord> records() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::shared_ptr<ResponseWriter>> held_;
  std::vector<AccessRecord> records_;
  std::unique_ptr<HttpServer> server_;
};

std::string post_text(std::string_view path, std::string_view body,
                      std::string_view extra_headers = {});

// True as soon as `condition` holds, false after `limit`.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(10));

// The "code" of an error body in the four-key form; empty if it has not exactly those four keys.
std::string error_code_of(const std::string& body);

}  // namespace ernie::http
