#include <limits>

#include "http/connection.h"

namespace ernie::http {

bool ConnectionTable::make_room() {
  std::shared_ptr<Connection> longest;
  {
    std::lock_guard lock(mutex_);
    if (open_.size() < limit_) return true;
    int64_t since = std::numeric_limits<int64_t>::max();
    for (auto it = open_.begin(); it != open_.end(); ++it) {
      auto connection = it->second.lock();
      const int64_t idle = connection ? connection->idle_since() : 0;
      if (idle > 0 && idle < since) {
        since = idle;
        longest = std::move(connection);
      }
    }
  }
  if (longest) longest->close_if_idle();
  return longest != nullptr;
}

void ConnectionTable::add(const std::shared_ptr<Connection>& connection) {
  std::lock_guard lock(mutex_);
  open_.emplace(connection.get(), connection);
}

void ConnectionTable::remove(const Connection* connection) {
  std::lock_guard lock(mutex_);
  open_.erase(connection);
}

void ConnectionTable::close_all() {
  std::vector<std::shared_ptr<Connection>> open;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, connection] : open_)
      if (auto alive = connection.lock()) open.push_back(std::move(alive));
  }
  for (auto& connection : open) connection->close();
}

size_t ConnectionTable::size() const {
  std::lock_guard lock(mutex_);
  return open_.size();
}

}  // namespace ernie::http
