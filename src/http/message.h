#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/client_id.h"
#include "base/limiter.h"
#include "base/result.h"

namespace ernie::http {

using Headers = std::vector<std::pair<std::string, std::string>>;  // request names are lower case

struct HttpRequest {
  std::string method;
  std::string path;  // as sent; escaped are only reserved characters such as '/', and no segment is
                     // empty or of dots
  std::string query;  // without '?', as sent
  Headers headers;
  std::string body;
  Limiter::Share body_bytes;  // accounts for `body`, and goes where its content goes
  ClientId client = 0;
  std::string request_id;  // the client's X-Request-Id where that is 1..128 of [A-Za-z0-9._-], else
                           // one of ours; safe to log, and sent back as X-Request-Id

  // The value of the first header of that (lower case) name; empty when there is none.
  std::string_view header(std::string_view name) const {
    for (const auto& [key, value] : headers)
      if (key == name) return value;
    return {};
  }
};

// The answer to one request: one send(), or start_stream(), any number of write()s and finish().
// All calls may come from any thread, also after the handler returned; none blocks on the network.
// Dropping the last pointer without an answer sends a 500; dropping it in the middle of a stream
// cuts the connection, so that the client sees the answer is not whole.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  virtual void send(int status, std::string_view content_type, std::string body,
                    const Headers& extra = {}) = 0;
  // The four-key error body. kRateLimited and kUnavailable also get Retry-After.
  virtual void send_error(const Error& error) = 0;

  virtual void start_stream(std::string_view content_type, const Headers& extra = {}) = 0;
  // Queues a piece. False when it went nowhere: the client left or was cut off because it did not
  // read (byte cap, write timeout). The rest may then be dropped; on_disconnect says the same.
  virtual bool write(std::string_view piece) = 0;
  virtual void finish() = 0;
  // The stream ends with this error, whose form is the route's own: for records of answers.
  virtual void finish_failed(const Error&) { finish(); }

  // Calls `callback` once if the client leaves or is cut off before the answer is complete, on a
  // server thread, or at once on this one if that has happened. A client that only shut down its
  // sending side has not left. At most one callback; it is dropped when the answer is complete. It
  // must not block.
  virtual void on_disconnect(std::function<void()> callback) = 0;
};

// Called on a server thread: hand long work to another one.
using Handler = std::function<void(HttpRequest, std::shared_ptr<ResponseWriter>)>;

}  // namespace ernie::http
