#include "serve/request_fetches.h"

#include <utility>

namespace ernie::serve {
namespace {

// Files that are fetched or wait to be taken: more would be held for nothing where an early one is
// late or wrong.
constexpr size_t kAhead = 8;

}  // namespace

RequestFetches::RequestFetches(media::Fetcher& fetcher, ClientId client,
                               std::vector<std::string> urls,
                               std::shared_ptr<const std::atomic<bool>> cancelled)
    : fetcher_(fetcher),
      client_(client),
      urls_(std::move(urls)),
      cancelled_(std::move(cancelled)),
      files_(urls_.size()) {}

std::optional<RequestFetches::File> RequestFetches::take(std::function<void()> wake) {
  std::optional<File> file;
  {
    std::lock_guard lock(mutex_);
    file = std::exchange(files_[taken_], std::nullopt);
    if (file) {
      ++taken_;
    } else {
      wake_ = std::move(wake);
    }
  }
  begin_more();
  return file;
}

void RequestFetches::begin_more() {
  while (true) {
    size_t i = 0;
    {
      std::lock_guard lock(mutex_);
      if (begun_ == urls_.size() || begun_ == taken_ + kAhead) return;
      i = begun_++;
    }
    fetcher_.fetch(client_, urls_[i], *cancelled_,
                   [self = shared_from_this(), i](File file) { self->put(i, std::move(file)); });
  }
}

void RequestFetches::put(size_t i, File file) {
  std::function<void()> wake;
  {
    std::lock_guard lock(mutex_);
    files_[i] = std::move(file);
    if (i == taken_) wake = std::exchange(wake_, nullptr);
  }
  if (wake) wake();
}

}  // namespace ernie::serve
