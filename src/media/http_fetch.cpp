#include "media/http_fetch.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "media/address.h"
#include "media/http_url.h"

namespace ernie::media {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 50;                     // how soon a cancellation is seen
constexpr size_t kMaxHeaderBytes = 256 * 1024;  // of one answer
constexpr size_t kMaxDiscardBytes = 64 * 1024;  // of the body of a redirect or an error

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One request and its answer. libcurl calls back on the thread that runs it.
struct Transfer {
  const FetchPolicy* policy = nullptr;
  const Grow* grow = nullptr;
  CURL* easy = nullptr;
  std::vector<uint8_t> body;
  size_t header_bytes = 0;
  size_t discarded_bytes = 0;
  bool blocked = false;    // an address was not allowed
  bool too_large = false;  // the body passed max_bytes
  bool no_room = false;    // for the body in memory
};

// Refuses the very address that would be connected, however it came about: name lookup, a changed
// answer, one of several answers.
curl_socket_t open_socket(void* context, curlsocktype, curl_sockaddr* to) {
  auto* transfer = static_cast<Transfer*>(context);
  if (!transfer->policy->allow_private_media && !is_public_address(&to->addr, to->addrlen)) {
    transfer->blocked = true;
    return CURL_SOCKET_BAD;
  }
  return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

size_t on_header(char*, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  transfer->header_bytes += size * count;
  return transfer->header_bytes > kMaxHeaderBytes ? 0 : size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  const size_t bytes = size * count;
  long status = 0;
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    transfer->discarded_bytes += bytes;
    return transfer->discarded_bytes > kMaxDiscardBytes ? 0 : bytes;
  }
  if (bytes > transfer->policy->max_bytes - transfer->body.size()) {
    transfer->too_large = true;
    return 0;
  }
  std::vector<uint8_t>& body = transfer->body;
  if (body.size() + bytes > body.capacity()) {
    const size_t capacity = std::max(body.size() + bytes, 2 * body.capacity());
    if (!(*transfer->grow)(capacity - body.capacity())) {
      transfer->no_room = true;
      return 0;
    }
    body.reserve(capacity);
  }
  body.insert(body.end(), data, data + bytes);
  return bytes;
}

void configure(Transfer& transfer, const std::string& url, int64_t timeout_ms) {
  CURL* easy = transfer.easy;
  const FetchPolicy& policy = *transfer.policy;
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // none, whatever the environment says
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "ernie");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // do not wait for a hanging name lookup
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(policy.low_speed_bytes_per_s));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(policy.low_speed_s));
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
}

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

// Runs one request to its end; CURLE_ABORTED_BY_CALLBACK when cancelled.
CURLcode perform(CURL* easy, const std::atomic<bool>* cancelled) {
  const std::unique_ptr<CURLM, MultiDeleter> multi(curl_multi_init());
  if (!multi || curl_multi_add_handle(multi.get(), easy) != CURLM_OK) return CURLE_FAILED_INIT;
  CURLcode code = CURLE_ABORTED_BY_CALLBACK;
  int running = 1;
  while (running > 0 && !(cancelled != nullptr && cancelled->load())) {
    if (curl_multi_perform(multi.get(), &running) != CURLM_OK) break;
    if (running > 0) curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr);
  }
  int queued = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &queued)) {
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  }
  curl_multi_remove_handle(multi.get(), easy);
  return code;
}

Status check_outcome(const Transfer& transfer, CURLcode code) {
  if (code == CURLE_OK) return {};
  if (transfer.blocked) return media_url_blocked("its host has an address that is not public");
  if (transfer.too_large) return too_large(*transfer.policy);
  if (transfer.no_room) return no_room();
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      return Error{ErrorKind::kUnavailable, "the request was cancelled", {}, "cancelled"};
    case CURLE_OPERATION_TIMEDOUT:
      return timed_out(*transfer.policy);
    default:
      return fetch_failed(curl_easy_strerror(code));
  }
}

}  // namespace

Result<std::vector<uint8_t>> fetch_http(std::string url, const FetchPolicy& policy,
                                        const std::atomic<bool>* cancelled, const Grow& grow) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) return internal_error("libcurl does not start");
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(policy.timeout_ms);
  for (int hop = 0; hop <= policy.max_redirects; ++hop) {
    const auto checked = checked_http_url(url, policy);
    if (!checked) return checked.error();
    const int64_t left_ms =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left_ms <= 0) return timed_out(policy);  // 0 would mean no limit to libcurl
    const std::unique_ptr<CURL, EasyDeleter> easy(curl_easy_init());
    if (!easy) return internal_error("libcurl gives no handle");
    Transfer transfer{&policy, &grow, easy.get()};
    configure(transfer, *checked, left_ms);
    const CURLcode code = perform(easy.get(), cancelled);
    if (const Status done = check_outcome(transfer, code); !done) return done.error();
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return std::move(transfer.body);
    const char* next = nullptr;
    curl_easy_getinfo(easy.get(), CURLINFO_REDIRECT_URL, &next);
    if (next == nullptr) return fetch_failed(fmt::format("its host answered HTTP {}", status));
    url = next;  // absolute, and an IPv4 address in another notation made dotted by libcurl
  }
  return media_url_blocked(
      fmt::format("it redirects more than {} times, the limit", policy.max_redirects));
}

}  // namespace ernie::media
