#include "http/server.h"

#include <sys/resource.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "base/log.h"
#include "base/thread_name.h"
#include "http/connection.h"
#include "http/host.h"

namespace ernie::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Descriptors kept for everything but connections: those that are being closed, the port of
// metrics, files and fetches.
constexpr size_t kFileReserve = 256;
constexpr milliseconds kNoFilesPause{50};
constexpr int kBacklog = 1024;

size_t connection_limit(int wanted) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const size_t open_files = files.rlim_cur == RLIM_INFINITY ? 1 << 20 : files.rlim_cur;
  const size_t usable = open_files > 2 * kFileReserve ? open_files - kFileReserve : open_files / 2;
  return std::min<size_t>(wanted, usable);
}

// The others are kept for routes that are open to all, such as /health.
size_t servable(size_t connections) {
  const size_t kept = std::min<size_t>(std::max<size_t>(connections / 8, 1), 64);
  return std::max<size_t>(connections - kept, 1);
}

// One client may have all addresses of an IPv6 network of 64 bits.
std::string peer_of(const asio::ip::address& address) {
  constexpr size_t kNetworkBytes = 8;
  if (address.is_v4()) return address.to_string();
  const auto bytes = address.to_v6().to_bytes();
  return {bytes.begin(), bytes.begin() + kNetworkBytes};
}

Error bind_error(const ServerOptions& options, const error_code& error) {
  const std::string address = options.host + ":" + std::to_string(options.port);
  const bool in_use = error == asio::error::address_in_use;
  return Error{ErrorKind::kUnavailable,
               "cannot listen on " + address + ": " + error.message() +
                   (in_use ? "; stop the other program or choose another port"
                           : "; check the host name and the port"),
               {},
               in_use ? "address_in_use" : "cannot_listen"};
}

class Server : public HttpServer {
 public:
  explicit Server(std::shared_ptr<ServerCore> core)
      : core_(std::move(core)),
        accepting_strand_(asio::make_strand(io_)),
        acceptor_(accepting_strand_),
        work_(asio::make_work_guard(io_)) {}
  ~Server() override { stop(); }

  error_code listen() {
    error_code error;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(core_->gate.bind_host, std::to_string(core_->options.port),
                                        tcp::resolver::passive, error);
    if (error) return error;
    const tcp::endpoint endpoint = found.begin()->endpoint();
    core_->gate.loopback_only = core_->gate.keys.empty() && endpoint.address().is_loopback();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kBacklog, error);
    if (!error) port_ = acceptor_.local_endpoint(error).port();
    return error;
  }

  const ServerOptions& options() const { return core_->options; }

  void run(int threads) {
    begin_accepting();
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
  }

  uint16_t port() const override { return port_; }
  void set_router(std::shared_ptr<const Router> router) override {
    core_->set_router(std::move(router));
  }
  void set_state(ServerState state) override { core_->state = state; }
  ServerState state() const override { return core_->state; }
  size_t running_requests() const override { return core_->open_requests->used(); }
  size_t connections() const override { return core_->connections.size(); }

  bool drain(milliseconds limit, const std::function<bool()>& abort) override {
    set_state(ServerState::kDraining);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (running_requests() > 0) {
      if (limit.count() > 0 && std::chrono::steady_clock::now() >= deadline) return false;
      if (abort && abort()) return false;
      std::this_thread::sleep_for(milliseconds(20));
    }
    return true;
  }

  void stop() override {
    if (threads_.empty()) return;
    asio::post(accepting_strand_, [this] {
      stopping_ = true;
      error_code ignored;
      acceptor_.close(ignored);
    });
    // Each connection leaves the table as its last act; only then may the threads end.
    while (connections() > 0 || accepting_) {
      core_->connections.close_all();
      std::this_thread::sleep_for(milliseconds(1));
    }
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  // What fails in one connection's handler must not end the thread of all.
  void serve() {
    set_thread_name("ernie-http");
    while (true) {
      try {
        io_.run();
        return;
      } catch (const std::exception& e) {
        log::error("a server thread goes on after an exception: {}", e.what());
      }
    }
  }

  void begin_connection(tcp::socket socket) {
    try {
      error_code error;
      const tcp::endpoint remote = socket.remote_endpoint(error);
      if (error) return;  // it is gone already
      std::string peer = peer_of(remote.address());
      if (!core_->connections.make_room(peer)) return;
      const int fd = socket.release(error);
      if (!error) serve_connection(core_, io_, fd, std::move(peer));
    } catch (const std::exception& e) {
      log::error("a connection could not be served: {}", e.what());
    }
  }

  void begin_accepting() {
    accepting_ = true;
    try {
      asio::co_spawn(accepting_strand_, accept(), asio::detached);
    } catch (...) {
      accepting_ = false;
      throw;
    }
  }

  // Where asio has no memory for a connection, it drops the coroutine that waits for it.
  void accepting_ended() {
    accepting_ = false;
    if (stopping_) return;
    try {
      begin_accepting();
    } catch (const std::exception& e) {
      log::error("no more connections can be accepted: {}", e.what());
    }
  }

  asio::awaitable<void> accept() {
    struct End {
      ~End() { server.accepting_ended(); }
      Server& server;
    };
    const End end{*this};
    asio::steady_timer pause(accepting_strand_);
    while (!stopping_) {
      try {
        error_code error;
        tcp::socket socket =
            co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
        if (!error) {
          begin_connection(std::move(socket));
        } else if (!stopping_) {
          log::warn("cannot accept a connection: {}", error.message());
          pause.expires_after(kNoFilesPause);
          co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        }
      } catch (const std::exception& e) {
        log::error("cannot accept a connection: {}", e.what());
      }
    }
  }

  std::shared_ptr<ServerCore> core_;
  asio::io_context io_;
  // Whoever touches the acceptor runs here, so that it is not closed while a thread accepts.
  asio::strand<asio::io_context::executor_type> accepting_strand_;
  tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> accepting_ = false;  // whether the coroutine lives
};

}  // namespace

ServerCore::ServerCore(ServerOptions server_options, size_t max_connections,
                       std::shared_ptr<const Router> router)
    : options(std::move(server_options)),
      gate{.keys = ApiKeys(options.api_keys),
           .bind_host = strip_brackets(options.host),
           .max_body_bytes = options.limits.max_body_bytes,
           .concurrency = std::make_shared<FairLimiter>(options.max_concurrency,
                                                        options.max_requests_per_client)},
      connections(max_connections),
      arriving_bodies(ArrivingBodies::create(options.memory.held)),
      served(std::make_shared<Limiter>(servable(max_connections))),
      open_requests(Limiter::unlimited()),
      router_(std::move(router)) {}

std::shared_ptr<const Router> ServerCore::router() const {
  std::lock_guard lock(mutex_);
  return router_;
}

void ServerCore::set_router(std::shared_ptr<const Router> router) {
  std::lock_guard lock(mutex_);
  router_ = std::move(router);
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerOptions options,
                                                      std::shared_ptr<const Router> router) {
  const size_t limit = connection_limit(options.max_connections);
  auto server = std::make_unique<Server>(
      std::make_shared<ServerCore>(std::move(options), limit, std::move(router)));
  const ServerOptions& kept = server->options();
  if (const error_code error = server->listen()) return bind_error(kept, error);
  server->run(kept.threads);
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace ernie::http
