// A media URL: one that passes means to libcurl, which fetches it, what the check took it for.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <memory>
#include <string>

#include "base/check.h"
#include "media/address.h"
#include "media/http_url.h"

namespace {

class CurlUrl {
 public:
  explicit CurlUrl(const std::string& text) : url_(curl_url()) {
    valid_ = curl_url_set(url_, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  }
  CurlUrl(const CurlUrl&) = delete;
  CurlUrl& operator=(const CurlUrl&) = delete;
  ~CurlUrl() { curl_url_cleanup(url_); }

  bool valid() const { return valid_; }
  // Empty when the URL has no such part.
  std::string part(CURLUPart which) const {
    char* text = nullptr;
    if (curl_url_get(url_, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
    std::string out = text;
    curl_free(text);
    return out;
  }

 private:
  CURLU* url_;
  bool valid_ = false;
};

bool is_private_address(const std::string& host) {
  sockaddr_in ip4{.sin_family = AF_INET};
  if (inet_aton(host.c_str(), &ip4.sin_addr) != 0) {
    return !ernie::media::is_public_address(reinterpret_cast<sockaddr*>(&ip4), sizeof(ip4));
  }
  sockaddr_in6 ip6{.sin6_family = AF_INET6};
  if (!host.starts_with('[')) return false;
  return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &ip6.sin6_addr) != 1 ||
         !ernie::media::is_public_address(reinterpret_cast<sockaddr*>(&ip6), sizeof(ip6));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)ernie::media::checked_http_url(text, {.allow_private_media = true}).ok();
  const auto checked = ernie::media::checked_http_url(text, {});
  if (!checked) return 0;
  const auto again = ernie::media::checked_http_url(*checked, {});
  CHECK(again && *again == *checked, *checked);
  const CurlUrl url(*checked);
  if (!url.valid()) return 0;  // it will not be fetched
  const std::string scheme = url.part(CURLUPART_SCHEME);
  const std::string port = url.part(CURLUPART_PORT);
  CHECK(scheme == "http" || scheme == "https", scheme);
  CHECK(port == "80" || port == "443", port);
  CHECK(url.part(CURLUPART_USER).empty() && url.part(CURLUPART_PASSWORD).empty(), "a user name");
  CHECK(!url.part(CURLUPART_HOST).empty(), "no host");
  CHECK(!is_private_address(url.part(CURLUPART_HOST)), url.part(CURLUPART_HOST));
  return 0;
}
