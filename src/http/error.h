#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ernie::http {

// The status code of an error kind; the table stands in base/result.h.
int http_status(ErrorKind kind);

// Whose clients an error is for.
enum class ErrorForm : uint8_t {
  kOpenAi,     // {"error":{"message","type","param","code"}}
  kAnthropic,  // {"type":"error","error":{...}} with Anthropic's words for types
};

// The body of an error; empty param and code become null.
std::string error_body(const Error& error, ErrorForm form = ErrorForm::kOpenAi);

// OpenAI's `type` word, for example "rate_limit_error" for kRateLimited.
std::string_view error_type(ErrorKind kind);

// An error's reason in one word: its code, or else its type.
std::string error_reason(const Error& error);

// "Not Found" for 404.
std::string_view status_text(int status);

// A refusal whose status has no ErrorKind of its own (414, 417, 505) or that follows its kind.
struct Rejection {
  explicit Rejection(Error e) : status(http_status(e.kind)), error(std::move(e)) {}
  Rejection(int status_code, Error e) : status(status_code), error(std::move(e)) {}

  int status;
  Error error;
};

}  // namespace ernie::http
