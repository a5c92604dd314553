#include "media/http_url.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <idn2.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "base/ascii.h"
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
  return static_cast<unsigned char>(c) < ' ' || c == '\x7F' || c == '\\';
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
}

// Appends `text` with all bytes percent-encoded that are not ASCII or among `others`.
void append_encoded(std::string_view text, std::string_view others, std::string& out) {
  for (const char c : text) {
    if (c >= 0 && others.find(c) == std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

std::string encoded_path_and_query(std::string_view text) {
  text = text.substr(0, text.find('#'));
  const size_t query = std::min(text.find('?'), text.size());
  std::string out;
  append_encoded(text.substr(0, query), " \"<>`{}^", out);
  append_encoded(text.substr(query), " \"<>'", out);
  return out;
}

// The host in ASCII. A name that has become plain ASCII stood for other letters, and is refused.
Result<std::string> ascii_host(std::string_view host) {
  if (is_ascii(host)) return std::string(host);
  uint8_t* found = nullptr;
  const std::string name(host);
  const int code = idn2_lookup_u8(reinterpret_cast<const uint8_t*>(name.c_str()), &found,
                                  IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  if (code != IDN2_OK) {
    return media_url_blocked(
        fmt::format("its host is no international name ({}); write it in punycode (xn--)",
                    idn2_strerror(code)));
  }
  std::string ascii(reinterpret_cast<const char*>(found));
  idn2_free(found);
  if (!ascii.starts_with("xn--") && ascii.find(".xn--") == std::string::npos) {
    return media_url_blocked(
        "its host has characters that stand for ASCII ones; write these instead");
  }
  return ascii;
}

// The length of "http://" or "https://" at the start of the URL, in any case; 0 for another scheme.
size_t scheme_bytes(std::string_view url) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (lowercase(std::string(url.substr(0, scheme.size()))) == scheme) return scheme.size();
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
        "its host has a character other than letters, digits, '.', '-' and '_'");
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

Result<std::string> checked_http_url(std::string_view url, const FetchPolicy& policy) {
  const bool allow_private = policy.allow_private_media;
  if (url.size() > kMaxUrlBytes) {
    return media_url_blocked(
        fmt::format("it has {} bytes; the limit is {}", url.size(), kMaxUrlBytes));
  }
  if (std::any_of(url.begin(), url.end(), is_forbidden)) {
    return media_url_blocked("it holds a control character or backslash");
  }
  url = url.substr(0, url.find_last_not_of(' ') + 1);
  const size_t scheme = scheme_bytes(url);
  if (scheme == 0) return media_url_blocked("expected http:// or https://");
  std::string_view authority = url.substr(scheme);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  const std::string_view rest = url.substr(scheme + authority.size());
  if (authority.find('@') != std::string_view::npos) {
    return media_url_blocked("it holds a user name or password");
  }
  std::string host;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return media_url_blocked("its IPv6 address is malformed");
    host = authority.substr(0, close + 1);
    const Status allowed = check_ip6(host.substr(1, close - 1), allow_private);
    if (!allowed) return allowed.error();
    authority.remove_prefix(host.size());
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    auto ascii = ascii_host(authority.substr(0, colon));
    if (!ascii) return ascii.error();
    host = std::move(*ascii);
    if (Status allowed = check_name(host, allow_private); !allowed) return allowed.error();
    authority.remove_prefix(colon);
  }
  if (!authority.empty()) {
    if (authority.front() != ':') return media_url_blocked("its host is malformed");
    const Status allowed = check_port(authority.substr(1), allow_private);
    if (!allowed) return allowed.error();
  }
  return fmt::format("{}{}{}{}", url.substr(0, scheme), host, authority,
                     encoded_path_and_query(rest));
}

}  // namespace ernie::media
