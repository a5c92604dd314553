#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/value.h"

namespace ernie::text::jinja {

enum class TokenKind {
  kText,            // text outside of tags
  kOutputBegin,     // {{
  kOutputEnd,       // }}
  kStatementBegin,  // {%
  kStatementEnd,    // %}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;  // of a name or operator
  Value value;       // of text and literals
  int line;          // from 1
};

// Cuts a template into tokens, with trim_blocks and lstrip_blocks on, as transformers sets them.
// Comments and raw blocks are resolved here.
Result<std::vector<Token>> tokenize(std::string_view source);

// An error at a line of a template.
Error template_error(int line, const std::string& message);

}  // namespace ernie::text::jinja
