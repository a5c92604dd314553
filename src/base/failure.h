#pragma once

#include <exception>
#include <new>
#include <utility>

#include "base/log.h"
#include "base/result.h"

namespace ernie {

// Ends the work on a request with an error for it, where no result can carry one.
class RequestFailed : public std::exception {
 public:
  explicit RequestFailed(Error error) : error_(std::move(error)) {}
  const char* what() const noexcept override { return error_.message.c_str(); }
  const Error& error() const { return error_; }

 private:
  Error error_;
};

// What a request gets whose work ended with an exception: 503 for want of memory, else 500. The
// cause is for the log only.
inline Error failure_of_request(const std::exception& cause) {
  if (const auto* known = dynamic_cast<const RequestFailed*>(&cause)) return known->error();
  log::error("a request failed: {}", cause.what());
  if (dynamic_cast<const std::bad_alloc*>(&cause)) {
    return {ErrorKind::kUnavailable,
            "the server has no memory for this request now; try again later",
            {},
            "out_of_memory"};
  }
  return internal_error("the request failed in the server");
}

}  // namespace ernie
