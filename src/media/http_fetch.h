#pragma once

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/request_memory.h"
#include "base/result.h"
#include "media/fetch.h"

namespace ernie::media {

// One fetch of the Fetcher: a request of libcurl and those that redirects lead to, one after the
// other, in one time limit that begins here. Not thread-safe.
class HttpFetch {
 public:
  // Both live as long as the fetch.
  HttpFetch(std::string url, const FetchPolicy& policy, const RequestMemory& memory);
  HttpFetch(const HttpFetch&) = delete;
  HttpFetch& operator=(const HttpFetch&) = delete;

  // Makes the next request, whose handle the caller runs.
  Status begin();
  CURL* handle() const { return easy_.get(); }

  // What came of the request that begin() made; nothing when there is another one to begin.
  std::optional<Result<FetchedMedia>> end(CURLcode code);

 private:
  struct EasyDeleter {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };

  static curl_socket_t open_socket(void* fetch, curlsocktype, curl_sockaddr* to);
  static size_t on_header(char*, size_t size, size_t count, void* fetch);
  static size_t on_body(char* data, size_t size, size_t count, void* fetch);

  void configure(int64_t timeout_ms);
  bool keep(const char* data, size_t bytes);
  Error error_of(CURLcode code) const;

  const FetchPolicy& policy_;
  const RequestMemory& memory_;
  const std::chrono::steady_clock::time_point deadline_;
  std::string url_;
  int redirects_ = 0;

  // Of one request:
  std::unique_ptr<CURL, EasyDeleter> easy_;
  FetchedMedia media_;
  size_t header_bytes_ = 0;
  size_t discarded_bytes_ = 0;
  bool blocked_ = false;          // an address was not allowed
  std::optional<Error> refusal_;  // why else this side ended it
};

}  // namespace ernie::media
