#pragma once

#include <boost/json/parse.hpp>
#include <string_view>

#include "base/check.h"
#include "http/wire/parse.h"
#include "text/utf8.h"

namespace ernie::fuzz {

inline void check_error(const Error& error) {
  CHECK(!error.message.empty() && error.message.size() < 4'000, error.message);
  CHECK(error.message.find('\n') == std::string::npos, error.message);
  CHECK(text::is_valid_utf8(error.message), "an error that is no UTF-8");
}

// The body of a request to one route: JSON is told from what is none as Boost.JSON does it, memory
// stays within its limit and is given back, and errors can be shown.
template <typename Parsed>
void check_body(std::string_view body, Result<Parsed> (*parse)(const boost::json::object&)) {
  const http::JsonLimits limits{.max_bytes = size_t{1} << 20,
                                .memory = RequestMemory(size_t{4} << 20)};
  boost::system::error_code invalid;
  boost::json::parse(body, invalid, {}, {.max_depth = 64});
  {
    const auto object = http::parse_json_object(body, limits);
    CHECK(limits.memory.held->used() <= limits.max_bytes + (size_t{64} << 10), "over its limit");
    if (!object) {
      check_error(object.error());
      if (object.error().code == "json_invalid") CHECK(invalid.failed(), "JSON is called broken");
    } else {
      CHECK(!invalid.failed(), "what is no JSON is taken");
      const auto parsed = parse(*object);
      if (!parsed) check_error(parsed.error());
    }
  }
  CHECK(limits.memory.held->used() == 0, "memory is not given back");
}

}  // namespace ernie::fuzz
