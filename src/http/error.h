#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ernie::http {

// The status code of an error kind; the table stands in base/result.h.
int http_status(ErrorKind kind);

// OpenAI's body: {"error":{"message","type","param","code"}}; empty param and code become null.
std::string error_body(const Error& error);

// OpenAI's `type` word, for example "rate_limit_error" for kRateLimited.
std::string_view error_type(ErrorKind kind);

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
