#pragma once

#include <memory>
#include <string>

#include "base/limiter.h"
#include "base/result.h"

namespace ernie {

// Bytes of all requests under way in the process. Whoever makes such bytes takes a share first and
// gives it back with them.
struct RequestMemory {
  RequestMemory() : held(Limiter::unlimited()) {}
  explicit RequestMemory(size_t bytes) : held(std::make_shared<Limiter>(bytes)) {}

  // The answer to a request for which there is no room now.
  Error exhausted() const {
    return {ErrorKind::kRateLimited,
            "the requests under way fill the " + std::to_string(held->limit() >> 20) +
                " MiB of memory that they may take together (--max-inflight-mb); try again later",
            {},
            "too_many_bytes"};
  }

  std::shared_ptr<Limiter> held;  // bodies, their parsed form, what is made of them
};

}  // namespace ernie
