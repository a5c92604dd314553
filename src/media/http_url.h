#pragma once

#include <string_view>

#include "base/result.h"
#include "media/fetch.h"

namespace ernie::media {

// The part of the policy that an http(s) URL's text can break, before any name is looked up.
// Accepted are a host name of ASCII letters, digits, '-', '_' and '.' (punycode for others), a
// dotted-quad IPv4 or a bracketed IPv6 address, and an optional port. Everything that parsers read
// in different ways is refused: user names, backslashes, spaces and control characters, a trailing
// dot, decimal, octal, hexadecimal or short IPv4 forms. Unless private media are allowed, literal
// addresses must be public and the port 80 or 443. The error is "media_url_blocked".
Status check_http_url(std::string_view url, const FetchPolicy& policy);

Error media_url_blocked(std::string_view detail);

}  // namespace ernie::media
