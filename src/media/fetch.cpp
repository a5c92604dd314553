#include "media/fetch.h"

#include <algorithm>

#include "media/data_url.h"
#include "media/http_fetch.h"
#include "media/http_url.h"
#include "media/local_file.h"

namespace ernie::media {
namespace {

// The URL's scheme in lower case; empty when it has none.
std::string scheme_of(std::string_view url) {
  std::string scheme(url.substr(0, std::min(url.find(':'), size_t{8})));
  if (scheme.size() >= url.size() || url[scheme.size()] != ':') return {};
  for (char& c : scheme) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return scheme;
}

}  // namespace

Result<std::vector<uint8_t>> fetch_media(std::string_view url, const FetchPolicy& policy,
                                         const std::atomic<bool>* cancelled) {
  const std::string scheme = scheme_of(url);
  if (scheme == "data") return decode_data_url(url, policy.max_bytes);
  if (scheme == "http" || scheme == "https") return fetch_http(std::string(url), policy, cancelled);
  if (scheme == "file") return fetch_file(url, policy);
  return media_url_blocked("expected a data:, http:, https: or file: URL");
}

}  // namespace ernie::media
