#include "http/host.h"

#include <arpa/inet.h>

#include <algorithm>

namespace ernie::http {
namespace {

bool is_port(std::string_view s) {
  return s.size() <= 5 &&
         std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
}

}  // namespace

std::optional<std::string> parse_host(std::string_view value) {
  std::string text(value);
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  std::string_view rest = text;
  std::string host;
  if (!rest.empty() && rest[0] == '[') {
    const size_t end = rest.find(']');
    if (end == rest.npos) return std::nullopt;
    host = rest.substr(1, end - 1);
    in6_addr address;
    if (inet_pton(AF_INET6, host.c_str(), &address) != 1) return std::nullopt;
    rest.remove_prefix(end + 1);
  } else {
    const size_t end = std::min(rest.find(':'), rest.size());
    host = rest.substr(0, end);
    if (host.empty() || host.size() > 255 || !std::all_of(host.begin(), host.end(), is_name_char))
      return std::nullopt;
    rest.remove_prefix(end);
  }
  if (!rest.empty() && (rest[0] != ':' || !is_port(rest.substr(1)))) return std::nullopt;
  return host;
}

bool is_loopback_host(std::string_view host) {
  const std::string text(host);
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost" || host.ends_with(".localhost");
}

std::string strip_brackets(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return std::string(host.substr(1, host.size() - 2));
  return std::string(host);
}

}  // namespace ernie::http
