#pragma once

#include <string>
#include <string_view>

namespace ernie::http {

// `wanted` if it is 1..128 characters of [A-Za-z0-9._-], so that it can neither split nor forge a
// log line; otherwise a fresh random one.
std::string choose_request_id(std::string_view wanted);

}  // namespace ernie::http
