#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "http/gate.h"
#include "http/server.h"

namespace boost::asio {
class io_context;
}

namespace ernie::http {

// An open connection, as the server's table sees it. Thread-safe.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void close() = 0;          // cuts it soon
  virtual void close_if_idle() = 0;  // unless a request began meanwhile
  // When it began to wait for a request, in steady clock ticks; 0 while one is under way and after
  // close_if_idle().
  virtual int64_t idle_since() const = 0;
};

// All open connections. Thread-safe.
class ConnectionTable {
 public:
  explicit ConnectionTable(size_t limit) : limit_(limit) {}

  // Makes room by closing the longest idle connection when full; false when none is idle.
  bool make_room();
  void add(const std::shared_ptr<Connection>& connection);
  void remove(const Connection* connection);
  void close_all();
  size_t size() const;

 private:
  const size_t limit_;
  mutable std::mutex mutex_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> open_;
};

// What the connections of one server share.
class ServerCore {
 public:
  ServerCore(ServerOptions options, size_t max_connections, std::shared_ptr<const Router> router);

  std::shared_ptr<const Router> router() const;
  void set_router(std::shared_ptr<const Router> router);

  const ServerOptions options;
  Gate gate;
  ConnectionTable connections;
  std::shared_ptr<Limiter> open_requests;
  std::atomic<ServerState> state = ServerState::kStarting;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Router> router_;
};

// Serves requests on an accepted TCP socket, which it owns from now on, until either side ends it.
void serve_connection(std::shared_ptr<ServerCore> core, boost::asio::io_context& io, int socket);

}  // namespace ernie::http
