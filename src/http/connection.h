#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "http/arriving_bodies.h"
#include "http/gate.h"
#include "http/server.h"

namespace boost::asio {
class io_context;
}

namespace ernie::http {

// How far a connection has come, in the order in which it makes room for others. What is being
// served for a client that the server knows is never given up.
enum class Stage {
  kIdle,       // waits for a request
  kHead,       // a request's head has begun, or was refused
  kOpenRoute,  // an answer that needs no key is written
  kBody,       // a request's body is coming
  kServed,
};

// An open connection, as the server's table sees it. Thread-safe.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void close() = 0;  // cuts it soon
  virtual void evict() = 0;  // cuts it soon unless it is kServed by then
  virtual std::pair<Stage, int64_t> standing() const = 0;  // and since when, in clock ticks
  virtual const std::string& peer() const = 0;
};

// All open connections. Thread-safe.
class ConnectionTable {
 public:
  explicit ConnectionTable(size_t limit)
      : limit_(limit), half_open_of_peer_(std::max<size_t>(limit / 4, 1)) {}

  // Makes room for a connection from `peer`: while a quarter of all are its own half-open ones the
  // oldest of these goes, and when the table is full the one that has come least far, of these the
  // oldest. False when all are being served.
  bool make_room(const std::string& peer);
  void add(const std::shared_ptr<Connection>& connection);
  void remove(const Connection* connection);
  void close_all();
  size_t size() const;

 private:
  std::shared_ptr<Connection> first_to_go(const std::string* peer) const;  // with the lock held

  const size_t limit_;
  const size_t half_open_of_peer_;
  mutable std::mutex mutex_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> open_;
  std::unordered_map<std::string, size_t> of_peer_;
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
  std::shared_ptr<ArrivingBodies> arriving_bodies;
  std::shared_ptr<Limiter> open_requests;
  std::atomic<ServerState> state = ServerState::kStarting;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Router> router_;
};

// Serves requests on an accepted TCP socket, which it owns from now on, until either side ends it.
// `peer` is the same for all connections of one client's address.
void serve_connection(std::shared_ptr<ServerCore> core, boost::asio::io_context& io, int socket,
                      std::string peer);

}  // namespace ernie::http
