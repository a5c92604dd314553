#include "http/api/watch.h"

#include <utility>

namespace ernie::http {

std::shared_ptr<Watch> Watch::over(ResponseWriter& writer) {
  auto watch = std::make_shared<Watch>();
  writer.on_disconnect([watch] { watch->leave(); });
  return watch;
}

void Watch::set(std::shared_ptr<serve::Generation> generation) {
  {
    std::lock_guard lock(mutex_);
    if (!gone_) {
      generation_ = std::move(generation);
      return;
    }
  }
  generation->cancel();
}

bool Watch::gone() {
  std::lock_guard lock(mutex_);
  return gone_;
}

void Watch::leave() {
  std::shared_ptr<serve::Generation> generation;
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
    generation = std::move(generation_);
  }
  if (generation) generation->cancel();
}

}  // namespace ernie::http
