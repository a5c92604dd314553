#include "media/http_url.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "media/address.h"

namespace ernie::media {
namespace {

constexpr size_t kMaxUrlBytes = 8192;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_host_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
         c == '_';
}

bool is_forbidden(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '\x7F' || c == '\\';
}

// The length of "http://" or "https://" at the start of the URL, in any case; 0 for another scheme.
size_t scheme_bytes(std::string_view url) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    const std::string_view start = url.substr(0, scheme.size());
    const bool equal =
        std::equal(start.begin(), start.end(), scheme.begin(), scheme.end(),
                   [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x - 'A' + 'a' : x) == y; });
    if (equal) return scheme.size();
  }
  return 0;
}

Status check_ip6(const std::string& text, bool allow_private) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  if (inet_pton(AF_INET6, text.c_str(), &address.sin6_addr) != 1) {
    return media_url_blocked("its IPv6 address is malformed");
  }
  if (!allow_private &&
      !is_public_address(reinterpret_cast<const sockaddr*>(&address), sizeof(address))) {
    return media_url_blocked("its address is not public");
  }
  return {};
}

Status check_ip4(const std::string& text, bool allow_private) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    return media_url_blocked("its IPv4 address is not of the form 1.2.3.4");
  }
  if (!allow_private &&
      !is_public_address(reinterpret_cast<const sockaddr*>(&address), sizeof(address))) {
    return media_url_blocked("its address is not public");
  }
  return {};
}

Status check_name(std::string_view host, bool allow_private) {
  if (host.empty()) return media_url_blocked("it has no host");
  if (!std::all_of(host.begin(), host.end(), is_host_char)) {
    return media_url_blocked(
        "its host has a character other than letters, digits, '.', '-' and '_'; write "
        "international names in punycode (xn--)");
  }
  if (host.back() == '.') return media_url_blocked("its host ends in a dot");
  // No top-level domain begins with a digit, so this is an IPv4 address in some notation.
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (!last.empty() && is_digit(last.front())) return check_ip4(std::string(host), allow_private);
  return {};
}

Status check_port(std::string_view port, bool allow_private) {
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 1 || number > 65535) {
    return media_url_blocked("its port is not a number from 1 to 65535");
  }
  if (!allow_private && number != 80 && number != 443) {
    return media_url_blocked(fmt::format("its port is {}; only 80 and 443 are allowed", number));
  }
  return {};
}

}  // namespace

Error media_url_blocked(std::string_view detail) {
  return invalid_argument(fmt::format("the media URL is not allowed: {}", detail), {},
                          "media_url_blocked");
}

Status check_http_url(std::string_view url, const FetchPolicy& policy) {
  const bool allow_private = policy.allow_private_media;
  if (url.size() > kMaxUrlBytes) {
    return media_url_blocked(
        fmt::format("it has {} bytes; the limit is {}", url.size(), kMaxUrlBytes));
  }
  if (std::any_of(url.begin(), url.end(), is_forbidden)) {
    return media_url_blocked("it holds a space, control character or backslash");
  }
  const size_t scheme = scheme_bytes(url);
  if (scheme == 0) return media_url_blocked("expected http:// or https://");
  std::string_view authority = url.substr(scheme);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) {
    return media_url_blocked("it holds a user name or password");
  }
  std::string_view after_host;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return media_url_blocked("its IPv6 address is malformed");
    const std::string ip(authority.substr(1, close - 1));
    if (Status allowed = check_ip6(ip, allow_private); !allowed) return allowed;
    after_host = authority.substr(close + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    if (Status allowed = check_name(authority.substr(0, colon), allow_private); !allowed) {
      return allowed;
    }
    after_host = authority.substr(colon);
  }
  if (after_host.empty()) return {};
  if (after_host.front() != ':') return media_url_blocked("its host is malformed");
  return check_port(after_host.substr(1), allow_private);
}

}  // namespace ernie::media
