#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace ernie::http {

// Which of a client's requests to end.
struct ParsedAbort {
  bool all = false;
  std::vector<std::string> ids;  // when not all
  std::vector<std::string> unknown_fields;
};

Result<ParsedAbort> parse_abort(const boost::json::object& body);

}  // namespace ernie::http
