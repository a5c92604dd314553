#pragma once

#include <exception>
#include <new>

#include "base/log.h"
#include "base/result.h"

namespace ernie {

// What a request gets whose work ended with an exception: 503 for want of memory, else 500. The
// cause is for the log only.
inline Error failure_of_request(const std::exception& cause) {
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
