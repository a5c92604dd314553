#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/request_memory.h"
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
  bool functions_only = false;  // calls are answered in the older form, as function_call
  StreamOptions stream;
  std::vector<std::string> unknown_fields;
};

struct ParsedCompletion {
  serve::CompletionRequest request;
  StreamOptions stream;
  std::vector<std::string> unknown_fields;
};

struct ParsedResponse {
  serve::ChatRequest request;
  bool stream = false;
  boost::json::object echo;  // what the response shows of its request
  std::vector<std::string> unknown_fields;
};

struct JsonLimits {
  size_t max_bytes = size_t{256} << 20;  // of the parsed form
  RequestMemory memory;                  // from which it takes its share, until it is destroyed
};

// Reads a JSON object in time linear in the text, whatever its keys are. The object belongs to one
// thread. Errors by `code`:
//   "json_invalid"        not JSON, not UTF-8, or nested deeper than 64
//   "invalid_value"       JSON that is not an object
//   "json_too_many_keys"  over 2,048 keys in one object, or 65,536 in all
//   "json_too_large"      kTooLarge: over max_bytes
//   "too_many_bytes"      kRateLimited: no room now in `memory`
Result<boost::json::object> parse_json_object(std::string_view body, const JsonLimits& limits = {});

Result<ParsedChat> parse_chat(const boost::json::object& body);
Result<ParsedCompletion> parse_completion(const boost::json::object& body);

// A request of OpenAI's Responses API.
Result<ParsedResponse> parse_response(const boost::json::object& body);

// A request of Anthropic's Messages API; of its token count, where max_tokens is not needed.
Result<ParsedChat> parse_anthropic(const boost::json::object& body, bool count_only = false);

}  // namespace ernie::http
