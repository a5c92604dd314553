#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/request_memory.h"
#include "base/result.h"
#include "http/router.h"

namespace ernie::http {

using std::chrono::milliseconds;

// What one client may use. Each limit has a status: see the field.
struct Limits {
  size_t max_request_line_bytes = 8 << 10;      // 414
  size_t max_header_bytes = 16 << 10;           // 431, request line included
  size_t max_headers = 100;                     // 431
  size_t max_body_bytes = size_t{64} << 20;     // 413, before the rest is read
  size_t max_stream_backlog = size_t{4} << 20;  // bytes of a stream not yet taken by the client
  milliseconds header_timeout{20'000};          // 408, from the first byte of a request
  milliseconds body_timeout{30'000};            // 408; 16 KiB/s must come over so long a time
  milliseconds idle_timeout{75'000};            // between requests: closed without an answer
  milliseconds write_timeout{30'000};  // no byte taken by the client for this long: cut off
  milliseconds linger_timeout{3'000};  // after an error: unread input is still dropped
};

// One line about one answered request, without anything private.
struct AccessRecord {
  std::string method;  // a known method, or "OTHER"
  std::string path;    // of a route, or "OTHER": bounded, safe as a metrics label
  std::string request_id;
  int status = 0;            // 499: the client left before the answer was complete
  std::string error_reason;  // of an answer that is an error or ends with one: our word for it
  double seconds = 0;        // from the complete head to the last byte
  size_t response_bytes = 0;
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // name or address to bind
  uint16_t port = 8000;            // 0: any free one
  int threads = 2;
  int max_concurrency = 512;        // inference requests at once; more: 429 (FairLimiter)
  int max_requests_per_client = 0;  // of these, of one key or, without keys, address; 0: no limit
  int max_connections = 4096;  // also bounded by the process's file limit less a reserve. When all
                               // are taken one that is not being served makes room (Stage). At most
                               // 64 stay free for routes that need no key; more requests: 429
  std::vector<std::string> api_keys;  // empty: no key is asked for
  Limits limits;
  RequestMemory memory;                                  // bodies that do not fit: 429
  std::function<void(const AccessRecord&)> on_response;  // called on server threads; may be empty
};

enum class ServerState {
  kStarting,  // inference routes and unknown paths get 503
  kReady,
  kDraining,  // inference routes get 503, running requests go on
};

// An HTTP/1.1 server over Boost.Asio. It parses requests itself (request_head.h, chunked_body.h)
// and does not use Beast's parser: that of Boost 1.81 takes folded headers, repeated and listed
// equal Content-Lengths and any Transfer-Encoding ("xchunked" leaves a request without a body),
// which a proxy in front may read differently, and has no hook to refuse them.
//
// A loopback bind without keys answers only requests whose Host is a loopback name, so that a web
// page cannot reach it by DNS rebinding. No CORS header is ever sent. Bind to 0.0.0.0 with keys.
class HttpServer {
 public:
  // Binds, listens and starts the threads. An Error says which address failed and why.
  static Result<std::unique_ptr<HttpServer>> start(ServerOptions options,
                                                   std::shared_ptr<const Router> router);
  virtual ~HttpServer() = default;  // stop()

  virtual uint16_t port() const = 0;
  virtual void set_router(std::shared_ptr<const Router> router) = 0;  // for requests from now on
  virtual void set_state(ServerState state) = 0;
  virtual ServerState state() const = 0;
  virtual size_t running_requests() const = 0;  // inference requests without a complete answer
  virtual size_t connections() const = 0;

  // kDraining, then waits until no inference request is left; false when `limit` (0: none) passed
  // or `abort` became true first.
  virtual bool drain(milliseconds limit, const std::function<bool()>& abort = {}) = 0;

  // Cuts every connection and joins the threads. Writers that are still held become inert.
  virtual void stop() = 0;
};

}  // namespace ernie::http
