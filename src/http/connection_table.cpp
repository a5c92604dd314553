#include "http/connection.h"

namespace ernie::http {

namespace {

constexpr size_t kMostOverdue = 64;  // connections that were evicted and are not closed yet

bool half_open(Stage stage) { return stage == Stage::kHead || stage == Stage::kBody; }

}  // namespace

std::shared_ptr<Connection> ConnectionTable::first_to_go(const std::string* peer) const {
  std::shared_ptr<Connection> first;
  std::pair<Stage, int64_t> least{Stage::kServed, 0};
  size_t of_peer = 0;
  for (const auto& [key, weak] : open_) {
    auto connection = weak.lock();
    if (!connection || (peer && connection->peer() != *peer)) continue;
    const auto standing = connection->standing();
    if (peer && !half_open(standing.first)) continue;
    ++of_peer;
    if (standing >= least) continue;
    least = standing;
    first = std::move(connection);
  }
  return peer && of_peer < half_open_of_peer_ ? nullptr : first;
}

bool ConnectionTable::make_room(const std::string& peer) {
  std::shared_ptr<Connection> own;
  std::shared_ptr<Connection> least;
  bool room = false;
  {
    std::lock_guard lock(mutex_);
    const auto count = of_peer_.find(peer);
    if (count != of_peer_.end() && count->second >= half_open_of_peer_) own = first_to_go(&peer);
    room = open_.size() < limit_;
    if (!room && !own) least = first_to_go(nullptr);
    if (open_.size() < limit_ + kMostOverdue) room = room || own || least;
  }
  if (own) own->evict();
  if (least) least->evict();
  return room;
}

void ConnectionTable::add(const std::shared_ptr<Connection>& connection) {
  std::lock_guard lock(mutex_);
  open_.emplace(connection.get(), connection);
  ++of_peer_[connection->peer()];
}

void ConnectionTable::remove(const Connection* connection) {
  std::lock_guard lock(mutex_);
  if (open_.erase(connection) == 0) return;
  const auto count = of_peer_.find(connection->peer());
  if (--count->second == 0) of_peer_.erase(count);
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
