#include "http/connection.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/failure.h"
#include "base/log.h"
#include "http/chunked_body.h"
#include "http/client_socket.h"
#include "http/request_id.h"
#include "http/response_channel.h"

namespace ernie::http {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Clock = std::chrono::steady_clock;

constexpr size_t kBodyBytesPerSecond = 16 << 10;  // at least, over each body_timeout
constexpr milliseconds kProbePause{1'000};        // doubles with each probe
constexpr int kClientLeft = 499;

Rejection too_slow(const char* what, const char* code) {
  return Rejection(Error{ErrorKind::kTimeout,
                         std::string("the request ") + what + " did not arrive in time",
                         {},
                         code});
}

Rejection too_many_connections(const ServerCore& core) {
  return Rejection(Error{ErrorKind::kRateLimited,
                         "the server is at its limit of " + std::to_string(core.served->limit()) +
                             " connections that it serves (--max-connections); try again later",
                         {},
                         "too_many_connections"});
}

// One coroutine on a strand runs the requests of a connection one after the other.
//
// g++ 12 destroys temporaries of an expression with co_await twice (GCC bug 99576). So what follows
// a co_await here takes only named objects and plain values, and each co_await stands alone.
class HttpConnection : public Connection, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<ServerCore> core, asio::io_context& io, int socket,
                 std::string peer)
      : core_(std::move(core)),
        limits_(core_->options.limits),
        peer_(std::move(peer)),
        client_(std::make_shared<ClientSocket>(io, socket, limits_)) {}

  void close() override {
    asio::post(client_->strand(), [self = shared_from_this()] {
      // An idle client may still be reading its last answer; a reset would take that away.
      if (self->stage_ == Stage::kIdle)
        self->client_->end();
      else
        self->client_->cut();
    });
  }
  void evict() override {
    asio::post(client_->strand(), [self = shared_from_this()] {
      if (self->stage_ == Stage::kIdle)
        self->client_->end();
      else if (self->stage_ != Stage::kServed)
        self->client_->cut();
    });
  }

  static awaitable<void> run(std::shared_ptr<HttpConnection> self);
  const auto& strand() const { return client_->strand(); }

 private:
  // Each returns false (or nothing) when the connection must end.
  awaitable<bool> serve_request();
  awaitable<std::optional<size_t>> read_head();
  awaitable<bool> serve_head(const RequestHead& head);
  awaitable<bool> read_body(const RequestHead& head, const Admission& admission,
                            HttpRequest& request);
  awaitable<bool> deliver(const std::shared_ptr<ResponseChannel>& channel);
  void queue_refusal(const Rejection& rejection, bool keep_alive, const Headers& extra = {});
  awaitable<void> send_answer();  // and records it
  awaitable<void> linger();
  void enter(Stage stage);
  std::function<void()> waker() const;  // tells the coroutine to look, from any thread
  void record();

  const std::shared_ptr<ServerCore> core_;
  const Limits& limits_;
  const std::string peer_;
  const std::shared_ptr<ClientSocket> client_;
  Stage stage_ = Stage::kIdle;
  bool served_ = false;  // at least one request

  // Of the current request.
  AccessRecord access_;
  bool head_only_ = false;
  ErrorForm errors_ = ErrorForm::kOpenAi;
  Clock::time_point started_{};
  size_t sent_before_ = 0;
};

void HttpConnection::enter(Stage stage) {
  if (stage == stage_) return;
  stage_ = stage;
  core_->connections.enter(this, stage);
}

std::function<void()> HttpConnection::waker() const {
  return [weak = std::weak_ptr(client_)] {
    if (auto client = weak.lock()) asio::post(client->strand(), [client] { client->poke(); });
  };
}

void HttpConnection::record() {
  if (!core_->options.on_response) return;
  access_.response_bytes = client_->sent_bytes() - sent_before_;
  access_.seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  core_->options.on_response(access_);
}

void HttpConnection::queue_refusal(const Rejection& rejection, bool keep_alive,
                                   const Headers& extra) {
  Headers headers = error_headers(rejection.error);
  headers.insert(headers.end(), extra.begin(), extra.end());
  std::string body = error_body(rejection.error, errors_);
  client_->output.push_back(response_head({.status = rejection.status,
                                           .content_type = "application/json",
                                           .content_length = static_cast<int64_t>(body.size()),
                                           .keep_alive = keep_alive,
                                           .request_id = access_.request_id},
                                          headers));
  if (!head_only_) client_->output.push_back(std::move(body));
  access_.status = rejection.status;
  access_.error_reason = error_reason(rejection.error);
}

awaitable<void> HttpConnection::send_answer() {
  co_await client_->send_all();
  record();
}

// Reads and drops what still comes, so that the answer is not lost to a reset.
awaitable<void> HttpConnection::linger() {
  if (client_->closed()) co_return;
  enter(Stage::kIdle);
  client_->shut_output();
  const auto deadline = Clock::now() + limits_.linger_timeout;
  while (!client_->ended() && !client_->closed() && Clock::now() < deadline) {
    client_->input.clear();
    client_->read_on();
    co_await client_->changed(deadline);
  }
}

awaitable<std::optional<size_t>> HttpConnection::read_head() {
  HeadScanner scanner(limits_.max_request_line_bytes, limits_.max_header_bytes,
                      limits_.max_headers);
  bool idle = true;
  enter(Stage::kIdle);
  auto deadline = Clock::now() + (served_ ? limits_.idle_timeout : limits_.header_timeout);
  while (!client_->closed()) {
    if (idle && !client_->input.empty()) {
      idle = false;
      enter(Stage::kHead);
      started_ = Clock::now();
      deadline = started_ + limits_.header_timeout;
    }
    if (const auto length = scanner.scan(client_->input)) co_return length;
    if (scanner.rejection()) {
      queue_refusal(*scanner.rejection(), false);
      co_await send_answer();
      break;
    }
    if (client_->ended()) break;
    const bool in_time = co_await client_->changed(deadline);
    if (in_time) continue;
    if (idle) break;
    queue_refusal(too_slow("headers", "header_timeout"), false);
    co_await send_answer();
    break;
  }
  co_return std::nullopt;
}

awaitable<bool> HttpConnection::serve_request() {
  access_ = {.method = "OTHER", .path = "OTHER", .request_id = choose_request_id({})};
  head_only_ = false;
  errors_ = ErrorForm::kOpenAi;
  sent_before_ = client_->sent_bytes();
  const auto length = co_await read_head();
  if (!length) co_return false;
  const ParsedHead parsed = parse_request_head(std::string_view(client_->input).substr(0, *length));
  client_->input.erase(0, *length);
  client_->read_on();
  served_ = true;
  if (parsed.rejection) {
    queue_refusal(*parsed.rejection, false);
    co_await send_answer();
    co_return false;
  }
  std::optional<Rejection> failure;
  try {
    const bool keep = co_await serve_head(parsed.head);
    co_return keep;
  } catch (const std::exception& e) {
    failure.emplace(failure_of_request(e));
  }
  const bool unanswered = client_->output.empty() && client_->sent_bytes() == sent_before_;
  if (unanswered) {
    queue_refusal(*failure, false);
    co_await send_answer();
  }
  co_return false;
}

awaitable<bool> HttpConnection::serve_head(const RequestHead& head) {
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
    if (head.method == method) access_.method = method;
  access_.request_id = choose_request_id(head.header("x-request-id"));
  head_only_ = head.method == "HEAD";

  const auto router = core_->router();  // keeps `admission.route` alive
  Admission admission = admit(core_->gate, core_->state, *router, head, peer_);
  if (admission.route) {
    access_.path = admission.route->path;
    errors_ = admission.route->options.errors;
  }
  const bool keep_alive = head.keep_alive && core_->state != ServerState::kDraining;
  const Headers allow = admission.allow.empty() ? Headers{} : Headers{{"Allow", admission.allow}};
  if (admission.rejection) {
    const bool keep = keep_alive && !head.has_body();
    queue_refusal(*admission.rejection, keep, allow);
    co_await send_answer();
    co_return keep;
  }
  if (admission.is_options) {
    const bool keep = keep_alive && !head.has_body();
    access_.status = 204;
    client_->output.push_back(response_head(
        {.status = 204, .keep_alive = keep, .request_id = access_.request_id}, allow));
    co_await send_answer();
    co_return keep;
  }

  HttpRequest request{.method = head.method,
                      .path = head.path,
                      .query = head.query,
                      .headers = head.headers,
                      .body_bytes = *core_->options.memory.held->acquire(0),
                      .client = admission.client,
                      .request_id = access_.request_id};
  if (head.has_body()) enter(Stage::kBody);
  const bool whole = co_await read_body(head, admission, request);
  if (!whole) co_return false;
  const RouteOptions& route = admission.route->options;
  const bool known = route.is_inference || (route.requires_key && !core_->gate.keys.empty());
  std::optional<Limiter::Share> served;
  if (known) {
    served = core_->served->acquire();
    if (!served) {
      queue_refusal(too_many_connections(*core_), false);
      co_await send_answer();
      co_return false;
    }
  }
  enter(known ? Stage::kServed : Stage::kOpenRoute);
  std::optional<FairLimiter::Share> slot;
  if (const auto rejection = take_slot(core_->gate, core_->state, admission, slot)) {
    queue_refusal(*rejection, keep_alive);
    co_await send_answer();
    co_return keep_alive;
  }

  ResponseChannel::Options options{.request_id = access_.request_id,
                                   .errors = errors_,
                                   .keep_alive = keep_alive,
                                   .head_only = head_only_,
                                   .can_chunk = head.minor_version == 1,
                                   .max_backlog = limits_.max_stream_backlog,
                                   .memory = known ? core_->options.memory : core_->open_memory};
  options.wake = waker();
  if (slot) {
    options.slot = std::move(*slot);
    options.open = std::move(*core_->open_requests->acquire());
  }
  auto channel = std::make_shared<ResponseChannel>(std::move(options));
  try {
    admission.route->handler(std::move(request), make_writer(channel));
  } catch (const std::exception& e) {
    log::error("handler of {} failed: {}", admission.route->path, e.what());
  }
  const bool keep = co_await deliver(channel);
  co_return keep;
}

awaitable<bool> HttpConnection::read_body(const RequestHead& head, const Admission& admission,
                                          HttpRequest& request) {
  if (!head.has_body()) co_return true;
  if (head.expects_continue && client_->input.empty()) {
    client_->output.push_back("HTTP/1.1 100 Continue\r\n\r\n");
    co_await client_->send_all();
  }
  const auto arriving = core_->arriving_bodies->begin(peer_, waker());
  request.body.reserve(head.content_length);
  ChunkedBody chunks(admission.max_body_bytes);
  // Bytes that came fast buy no time to hold them back later.
  auto mark = Clock::now();
  size_t marked = 0;
  const auto window_bytes = static_cast<size_t>(
      kBodyBytesPerSecond * std::chrono::duration<double>(limits_.body_timeout).count());
  std::optional<Rejection> rejection;
  while (!client_->closed()) {
    size_t taken =
        std::min<size_t>(client_->input.size(), head.content_length - request.body.size());
    const size_t before = request.body.size();
    if (head.chunked)
      taken = chunks.push(client_->input, request.body);
    else
      request.body.append(client_->input, 0, taken);
    client_->input.erase(0, taken);
    client_->read_on();
    const bool whole = head.chunked ? chunks.done() : request.body.size() == head.content_length;
    if (!arriving->grow(request.body.size() - before, whole)) {
      rejection.emplace(core_->options.memory.exhausted());
      break;
    }
    rejection = chunks.rejection();
    if (rejection) break;
    if (whole) {
      request.body_bytes = arriving->take();
      co_return true;
    }
    if (client_->ended()) co_return false;
    if (request.body.size() >= marked + window_bytes) {
      mark = Clock::now();
      marked = request.body.size();
    }
    const bool in_time = co_await client_->changed(mark + limits_.body_timeout);
    if (in_time) continue;
    rejection = too_slow("body", "body_timeout");
    break;
  }
  if (rejection) {
    std::string().swap(request.body);
    queue_refusal(*rejection, false);
    co_await send_answer();
  }
  co_return false;
}

awaitable<bool> HttpConnection::deliver(const std::shared_ptr<ResponseChannel>& channel) {
  bool overrun = false;            // the client sent too much ahead; some of it is lost
  Clock::time_point next_probe{};  // once the client sends nothing more
  milliseconds probe_pause = kProbePause;
  bool complete = false;
  int status = 0;
  bool keep_alive = false;
  while (!client_->closed()) {
    ResponseChannel::Output next = channel->take();
    if (client_->output.empty()) client_->restart_write_clock();
    for (std::string& piece : next.pieces) client_->output.push_back(std::move(piece));
    status = next.status;
    access_.error_reason = next.error_reason;
    keep_alive = next.keep_alive;
    if (next.cut) {
      client_->cut();
      break;
    }
    channel->written(client_->flush());
    if (client_->closed()) break;
    complete = next.complete && client_->output.empty();
    if (complete) break;
    if (client_->ended() && Clock::now() >= next_probe) {
      next_probe = Clock::now() + probe_pause;
      probe_pause *= 2;
      channel->probe();
      continue;
    }
    if (client_->input.size() >= ClientSocket::kMaxInput) {
      // Reading must go on, or the client's leaving would stay unseen behind what it sent ahead.
      overrun = true;
      client_->input.clear();
      client_->read_on();
    }
    auto deadline = client_->ended() ? next_probe : Clock::time_point::max();
    if (!client_->output.empty()) deadline = std::min(deadline, client_->write_deadline());
    const bool in_time = co_await client_->changed(deadline);
    if (!in_time && client_->stalled()) client_->cut();
  }
  channel->close();
  access_.status = complete ? status : kClientLeft;
  record();
  co_return complete&& keep_alive && !overrun;
}

awaitable<void> HttpConnection::run(std::shared_ptr<HttpConnection> self) {
  struct End {  // also of a coroutine that is dropped
    ~End() {
      connection.client_->close();
      connection.core_->connections.remove(&connection);
    }
    HttpConnection& connection;
  };
  const End end{*self};
  try {
    self->client_->read_on();
    bool open = true;
    while (open) {
      open = co_await self->serve_request();
      // Whoever sends many at once takes turns with the others.
      co_await asio::post(self->strand(), asio::use_awaitable);
    }
    co_await self->linger();
  } catch (const std::exception& e) {
    log::error("connection ended by an exception: {}", e.what());
  }
}

}  // namespace

void serve_connection(std::shared_ptr<ServerCore> core, asio::io_context& io, int socket,
                      std::string peer) {
  std::shared_ptr<HttpConnection> connection;
  try {
    connection = std::make_shared<HttpConnection>(core, io, socket, peer);
  } catch (...) {
    close(socket);
    throw;
  }
  try {
    core->connections.add(connection, peer);
    asio::co_spawn(connection->strand(), HttpConnection::run(connection), asio::detached);
  } catch (...) {
    core->connections.remove(connection.get());
    throw;
  }
}

}  // namespace ernie::http
