#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
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
};

// All open connections. Thread-safe; what it does for a new one takes the same time however many
// there are, so that a flood of them does not keep the others waiting.
class ConnectionTable {
 public:
  explicit ConnectionTable(size_t limit)
      : limit_(limit), half_open_of_peer_(std::max<size_t>(limit / 4, 1)) {}

  // Makes room for a connection from `peer`: while a quarter of all are its own half-open ones the
  // oldest of these goes, and when the table is full the one that has come least far, of these the
  // oldest. False when all are being served.
  bool make_room(const std::string& peer);
  void add(const std::shared_ptr<Connection>& connection, const std::string& peer);
  void enter(const Connection* connection, Stage stage);
  void remove(const Connection* connection);
  void close_all();
  size_t size() const;

 private:
  using Rank = std::pair<Stage, uint64_t>;  // and the count of all steps when it came
  using Order = std::map<Rank, const Connection*>;
  struct Entry {
    std::weak_ptr<Connection> connection;
    std::string peer;
    Rank rank;
  };
  // With the lock held.
  void insert(const Connection* connection, Entry& entry, Stage stage);
  void erase(const Entry& entry);

  const size_t limit_;
  const size_t half_open_of_peer_;
  mutable std::mutex mutex_;
  std::unordered_map<const Connection*, Entry> open_;
  Order order_;                                       // of those that may have to make room
  std::unordered_map<std::string, Order> half_open_;  // the same of each peer
  uint64_t steps_ = 0;
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
  // Connections that are being served; the others stay free for routes that are open to all.
  std::shared_ptr<Limiter> served;
  const RequestMemory open_memory;  // of answers of such routes: small, and one for a connection
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
