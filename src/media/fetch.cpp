#include "media/fetch.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "media/data_url.h"
#include "media/http_url.h"
#include "media/local_file.h"

namespace ernie::media {
namespace {

// The URL's scheme in lower case; empty when it has none.
std::string scheme_of(std::string_view url) {
  std::string scheme(url.substr(0, std::min(url.find(':'), size_t{8})));
  if (scheme.size() >= url.size() || url[scheme.size()] != ':') return {};
  return lowercase(std::move(scheme));
}

Result<std::vector<uint8_t>> read_bytes(std::string_view url, const FetchPolicy& policy,
                                        const Grow& grow) {
  const std::string scheme = scheme_of(url);
  if (scheme == "data") {
    const size_t copied = url.find('%') == std::string_view::npos ? 0 : url.size();
    if (!grow(copied + std::min(url.size() / 4 * 3 + 3, policy.max_bytes))) return no_room();
    return decode_data_url(url, policy.max_bytes);
  }
  if (scheme == "file") return read_file(url, policy, grow);
  return media_url_blocked("expected a data:, http:, https: or file: URL");
}

}  // namespace

bool is_http_url(std::string_view url) {
  const std::string scheme = scheme_of(url);
  return scheme == "http" || scheme == "https";
}

Result<FetchedMedia> read_media(std::string_view url, const FetchPolicy& policy,
                                const RequestMemory& memory) {
  FetchedMedia media{.share = *memory.held->acquire(0)};
  const Grow grow = [&](size_t bytes) { return media.share.grow(bytes); };
  auto bytes = read_bytes(url, policy, grow);
  if (!bytes) return bytes.error().code == kNoRoom ? memory.exhausted() : bytes.error();
  media.bytes = std::move(*bytes);
  return media;
}

}  // namespace ernie::media
