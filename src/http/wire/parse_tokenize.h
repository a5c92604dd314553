#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serve/request.h"

// Requests about tokens alone, in vLLM's form.
namespace ernie::http {

struct ParsedTokenize {
  std::string model;
  std::string prompt;
  std::optional<serve::ChatRequest> chat;  // instead of the prompt
  bool token_strs = false;
  std::vector<std::string> unknown_fields;
};

struct ParsedDetokenize {
  std::string model;
  std::vector<int32_t> tokens;
  std::vector<std::string> unknown_fields;
};

Result<ParsedTokenize> parse_tokenize(const boost::json::object& body);

// At most `max_tokens` ids, each below `vocab_size`.
Result<ParsedDetokenize> parse_detokenize(const boost::json::object& body, int vocab_size,
                                          int max_tokens);

}  // namespace ernie::http
