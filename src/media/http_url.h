#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "media/fetch.h"

namespace ernie::media {

// The URL as it is sent: path and query percent-encoded as browsers do (WHATWG URL), without its
// fragment, an international host name in punycode. What is returned is what was checked, against
// the part of the policy that a URL's text can break, before any name is looked up.
//
// Accepted are a host name of letters, digits, '-', '_' and '.', a dotted-quad IPv4 or a bracketed
// IPv6 address, and an optional port. Everything that parsers read in different ways is refused:
// user names, backslashes, control characters, spaces in the host, a trailing dot, decimal, octal,
// hexadecimal or short IPv4 forms, characters that only stand for ASCII ones. Unless private media
// are allowed, literal addresses must be public and the port 80 or 443. The error is
// "media_url_blocked".
Result<std::string> checked_http_url(std::string_view url, const FetchPolicy& policy);

Error media_url_blocked(std::string_view detail);

}  // namespace ernie::media
