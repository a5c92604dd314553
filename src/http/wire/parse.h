#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/request.h"

// Requests of the OpenAI API, with FastDeploy's extensions, from JSON. Limits of fields are here
// and in docs/api.md. Of duplicate keys the last counts. Fields that are known but not supported
// are errors (code unsupported_parameter); unknown fields are accepted and reported in
// `unknown_fields`.
namespace ernie::http {

struct StreamOptions {
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
};

struct ParsedChat {
  serve::ChatRequest request;
  StreamOptions stream;
  std::vector<std::string> unknown_fields;
};

struct ParsedCompletion {
  serve::CompletionRequest request;
  StreamOptions stream;
  std::vector<std::string> unknown_fields;
};

// Code json_invalid for text that is not JSON, is not UTF-8 or nests deeper than 64; invalid_value
// for JSON that is not an object.
Result<boost::json::object> parse_json_object(std::string_view body);

Result<ParsedChat> parse_chat(const boost::json::object& body);
Result<ParsedCompletion> parse_completion(const boost::json::object& body);

}  // namespace ernie::http
