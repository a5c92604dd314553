#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/client_id.h"
#include "base/request_memory.h"
#include "base/result.h"
#include "media/fetch.h"

namespace ernie::media {

// Fetches media from http(s) hosts on one thread of its own, so that no other thread waits for a
// host. By libcurl, without proxy. The address checked is the one connected; a redirect is a new
// URL that passes the same checks. Fetches begin in order of arrival, but for those of a client
// that has its share of the transfers. Thread-safe. The process must ignore SIGPIPE, which a TLS
// peer can provoke.
class Fetcher {
 public:
  // With the bytes, or one of the errors of fetch.h. On the fetcher's thread, which waits for it.
  using Done = std::function<void(Result<FetchedMedia>)>;

  Fetcher(FetchPolicy policy, RequestMemory memory);  // StartError when libcurl does not start
  ~Fetcher();

  // Calls `done` once. `cancelled`, which lives until then, ends the fetch within 50 ms, and so
  // does stop().
  void fetch(ClientId client, std::string url, const std::atomic<bool>& cancelled, Done done);

  // Ends all fetches as "shutting_down"; those that are asked for from now on end so at once, on
  // the thread that asks.
  void stop();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace ernie::media
