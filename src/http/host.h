#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ernie::http {

// The name or address of a Host header in lower case, without port and brackets; nullopt when it
// is not "name", "1.2.3.4" or "[::1]" with an optional port.
std::optional<std::string> parse_host(std::string_view value);

// True for localhost, names below it, 127.0.0.0/8 and ::1.
bool is_loopback_host(std::string_view host);

// Accepted forms of an address to bind: "[::1]" is taken as "::1".
std::string strip_brackets(std::string_view host);

}  // namespace ernie::http
