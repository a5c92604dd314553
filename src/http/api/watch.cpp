#include "http/api/watch.h"

#include <utility>

namespace ernie::http {

std::shared_ptr<Watch> Watch::over(ResponseWriter& writer) {
  auto watch = std::make_shared<Watch>();
  writer.on_disconnect([watch] { watch->leave(); });
  return watch;
}

void Watch::set(std::shared_ptr<serve::Generation> generation) {
  std::optional<Error> error;
  {
    std::lock_guard lock(mutex_);
    if (!gone_ && !aborted_) {
      generation_ = std::move(generation);
      return;
    }
    error = aborted_;
  }
  end(*generation, error);
}

bool Watch::gone() {
  std::lock_guard lock(mutex_);
  return gone_;
}

void Watch::abort(const Error& error) {
  std::shared_ptr<serve::Generation> generation;
  {
    std::lock_guard lock(mutex_);
    aborted_ = error;
    generation = std::move(generation_);
  }
  if (generation) end(*generation, error);
}

void Watch::leave() {
  std::shared_ptr<serve::Generation> generation;
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
    generation = std::move(generation_);
  }
  if (generation) end(*generation, {});
}

void Watch::end(serve::Generation& generation, const std::optional<Error>& error) {
  if (error) generation.abort(*error);
  generation.cancel();
}

Error aborted() {
  return invalid_argument("the request was ended by POST /v1/abort_requests", {}, "aborted");
}

void UnderWay::add(ClientId client, std::string answer_id, std::string request_id,
                   const std::shared_ptr<Watch>& watch) {
  std::lock_guard lock(mutex_);
  const uint64_t number = next_++;
  entries_[number] = {client, std::move(answer_id), std::move(request_id), watch};
  watch->keep({nullptr, [self = shared_from_this(), number](void*) {
                 std::lock_guard erasing(self->mutex_);
                 self->entries_.erase(number);
               }});
}

std::vector<std::string> UnderWay::abort(ClientId client, std::optional<std::string_view> id) {
  std::vector<std::shared_ptr<Watch>> found;
  std::vector<std::string> ids;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const auto& item) {
      const Entry& entry = item.second;
      if (entry.client != client) return false;
      if (id && *id != entry.answer_id && *id != entry.request_id) return false;
      auto watch = entry.watch.lock();
      if (!watch) return false;
      found.push_back(std::move(watch));
      ids.push_back(entry.answer_id);
      return true;
    });
  }
  for (const auto& watch : found) {
    watch->abort(aborted());
  }
  return ids;
}

}  // namespace ernie::http
