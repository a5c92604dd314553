#include "http/connection.h"

namespace ernie::http {

namespace {

constexpr size_t kMostOverdue = 64;  // connections that were evicted and are not closed yet

bool half_open(Stage stage) { return stage == Stage::kHead || stage == Stage::kBody; }

}  // namespace

void ConnectionTable::insert(const Connection* connection, Entry& entry, Stage stage) {
  entry.rank = {stage, ++steps_};
  if (stage == Stage::kServed) return;
  order_.emplace(entry.rank, connection);
  if (half_open(stage)) half_open_[entry.peer].emplace(entry.rank, connection);
}

void ConnectionTable::erase(const Entry& entry) {
  order_.erase(entry.rank);
  const auto own = half_open_.find(entry.peer);
  if (own == half_open_.end()) return;
  own->second.erase(entry.rank);
  if (own->second.empty()) half_open_.erase(own);
}

bool ConnectionTable::make_room(const std::string& peer) {
  std::shared_ptr<Connection> victim;
  bool room = false;
  {
    std::lock_guard lock(mutex_);
    room = open_.size() < limit_;
    const auto own = half_open_.find(peer);
    const Connection* first = nullptr;
    if (own != half_open_.end() && own->second.size() >= half_open_of_peer_)
      first = own->second.begin()->second;
    else if (!room && !order_.empty())
      first = order_.begin()->second;
    if (first) {
      const Entry& entry = open_.at(first);
      victim = entry.connection.lock();
      erase(entry);
    }
    if (open_.size() < limit_ + kMostOverdue) room = room || victim;
  }
  if (victim) victim->evict();
  return room;
}

void ConnectionTable::add(const std::shared_ptr<Connection>& connection, const std::string& peer) {
  std::lock_guard lock(mutex_);
  Entry& entry = open_.emplace(connection.get(), Entry{connection, peer, {}}).first->second;
  insert(connection.get(), entry, Stage::kIdle);
}

void ConnectionTable::enter(const Connection* connection, Stage stage) {
  std::lock_guard lock(mutex_);
  Entry& entry = open_.at(connection);
  erase(entry);
  insert(connection, entry, stage);
}

void ConnectionTable::remove(const Connection* connection) {
  std::lock_guard lock(mutex_);
  const auto entry = open_.find(connection);
  if (entry == open_.end()) return;
  erase(entry->second);
  open_.erase(entry);
}

void ConnectionTable::close_all() {
  std::vector<std::shared_ptr<Connection>> open;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, entry] : open_)
      if (auto alive = entry.connection.lock()) open.push_back(std::move(alive));
  }
  for (auto& connection : open) connection->close();
}

size_t ConnectionTable::size() const {
  std::lock_guard lock(mutex_);
  return open_.size();
}

}  // namespace ernie::http
