#include "media/http_fetch.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <string_view>
#include <utility>

#include "base/failure.h"
#include "media/address.h"
#include "media/http_url.h"

namespace ernie::media {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxHeaderBytes = 256 * 1024;  // of one answer
constexpr size_t kMaxDiscardBytes = 64 * 1024;  // of the body of a redirect or an error

Error fetch_failed(std::string_view detail) {
  return invalid_argument(fmt::format("the media URL could not be fetched: {}", detail), {},
                          "media_fetch_failed");
}

Error timed_out(const FetchPolicy& policy) {
  return invalid_argument(
      fmt::format("fetching the media URL took over {} ms, or ran below {} bytes/s for {} s; send "
                  "the media as a data URL or use a faster host",
                  policy.timeout_ms, policy.low_speed_bytes_per_s, policy.low_speed_s),
      {}, "media_fetch_timeout");
}

Error too_large(const FetchPolicy& policy) {
  return invalid_argument(
      fmt::format("the media URL holds more than the limit of {} bytes; use a smaller file",
                  policy.max_bytes),
      {}, "media_too_large");
}

}  // namespace

HttpFetch::HttpFetch(std::string url, const FetchPolicy& policy, const RequestMemory& memory)
    : policy_(policy),
      memory_(memory),
      deadline_(Clock::now() + std::chrono::milliseconds(policy.timeout_ms)),
      url_(std::move(url)) {}

Status HttpFetch::begin() {
  auto checked = checked_http_url(url_, policy_);
  if (!checked) return checked.error();
  url_ = std::move(*checked);
  const int64_t left_ms =
      std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
  if (left_ms <= 0) return timed_out(policy_);  // 0 would mean no limit to libcurl
  easy_.reset(curl_easy_init());
  if (!easy_) return internal_error("libcurl gives no handle");
  media_ = {.share = *memory_.held->acquire(0)};
  header_bytes_ = discarded_bytes_ = 0;
  blocked_ = false;
  refusal_.reset();
  configure(left_ms);
  return {};
}

void HttpFetch::configure(int64_t timeout_ms) {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // none, whatever the environment says
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "ernie");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // do not wait for a hanging name lookup
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(policy_.low_speed_bytes_per_s));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(policy_.low_speed_s));
  // Clients share neither connections nor looked-up names.
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
}

// Refuses the very address that would be connected, however it came about: name lookup, a changed
// answer, one of several answers.
curl_socket_t HttpFetch::open_socket(void* fetch, curlsocktype, curl_sockaddr* to) {
  auto* self = static_cast<HttpFetch*>(fetch);
  if (!self->policy_.allow_private_media && !is_public_address(&to->addr, to->addrlen)) {
    self->blocked_ = true;
    return CURL_SOCKET_BAD;
  }
  return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

size_t HttpFetch::on_header(char*, size_t size, size_t count, void* fetch) {
  auto* self = static_cast<HttpFetch*>(fetch);
  self->header_bytes_ += size * count;
  return self->header_bytes_ > kMaxHeaderBytes ? 0 : size * count;
}

// No exception may pass through libcurl.
size_t HttpFetch::on_body(char* data, size_t size, size_t count, void* fetch) {
  auto* self = static_cast<HttpFetch*>(fetch);
  try {
    return self->keep(data, size * count) ? size * count : 0;
  } catch (const std::exception& e) {
    self->refusal_ = failure_of_request(e);
    return 0;
  }
}

// False ends the request.
bool HttpFetch::keep(const char* data, size_t bytes) {
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    discarded_bytes_ += bytes;
    return discarded_bytes_ <= kMaxDiscardBytes;
  }
  std::vector<uint8_t>& body = media_.bytes;
  if (bytes > policy_.max_bytes - body.size()) {
    refusal_ = too_large(policy_);
    return false;
  }
  if (body.size() + bytes > body.capacity()) {
    const size_t capacity = std::max(body.size() + bytes, 2 * body.capacity());
    if (!media_.share.grow(capacity - body.capacity())) {
      refusal_ = memory_.exhausted();
      return false;
    }
    body.reserve(capacity);
  }
  body.insert(body.end(), data, data + bytes);
  return true;
}

std::optional<Result<FetchedMedia>> HttpFetch::end(CURLcode code) {
  if (code != CURLE_OK) return error_of(code);
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status == 200) return std::move(media_);
  const char* next = nullptr;
  curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_URL, &next);
  if (next == nullptr) return fetch_failed(fmt::format("its host answered HTTP {}", status));
  if (++redirects_ > policy_.max_redirects) {
    return media_url_blocked(
        fmt::format("it redirects more than {} times, the limit", policy_.max_redirects));
  }
  url_ = next;  // absolute, and an IPv4 address in another notation made dotted by libcurl
  return std::nullopt;
}

Error HttpFetch::error_of(CURLcode code) const {
  if (blocked_) return media_url_blocked("its host has an address that is not public");
  if (refusal_) return *refusal_;
  if (code == CURLE_OPERATION_TIMEDOUT) return timed_out(policy_);
  return fetch_failed(curl_easy_strerror(code));
}

}  // namespace ernie::media
