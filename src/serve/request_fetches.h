#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/client_id.h"
#include "base/result.h"
#include "media/fetch.h"
#include "media/fetcher.h"

namespace ernie::serve {

// The files of a request that hosts have: fetched a few at a time, handed out in order.
// Thread-safe, but for two calls of take() at once.
class RequestFetches : public std::enable_shared_from_this<RequestFetches> {
 public:
  using File = Result<media::FetchedMedia>;

  // A true `cancelled` ends the fetches. The fetcher outlives them.
  RequestFetches(media::Fetcher& fetcher, ClientId client, std::vector<std::string> urls,
                 std::shared_ptr<const std::atomic<bool>> cancelled);

  // The file of the next URL. None: it is not there yet; `wake` is called once when it is, on any
  // thread.
  std::optional<File> take(std::function<void()> wake);

 private:
  void begin_more();
  void put(size_t i, File file);

  media::Fetcher& fetcher_;
  const ClientId client_;
  const std::vector<std::string> urls_;
  const std::shared_ptr<const std::atomic<bool>> cancelled_;

  std::mutex mutex_;  // of what follows
  std::vector<std::optional<File>> files_;
  size_t begun_ = 0;
  size_t taken_ = 0;
  std::function<void()> wake_;  // for the file that is taken next
};

}  // namespace ernie::serve
