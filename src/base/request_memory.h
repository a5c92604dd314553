#pragma once

#include <memory>
#include <string>

#include "base/limiter.h"
#include "base/result.h"

namespace ernie {

// Bytes of all requests under way in the process. Whoever makes such bytes takes a share first and
// gives it back with them. Decoders wait for theirs; for all else there is room or the request is
// refused, so nobody who waits holds what another one waits for.
struct RequestMemory {
  RequestMemory()
      : held(Limiter::unlimited()), decoding(Limiter::unlimited()), videos(Limiter::unlimited()) {}
  explicit RequestMemory(size_t bytes)
      : held(std::make_shared<Limiter>(bytes - bytes / 2)),
        decoding(std::make_shared<Limiter>(bytes / 2)),
        videos(std::make_shared<Limiter>(bytes / 2 - bytes / 8)) {}

  // The answer to a request for which there is no room now.
  Error exhausted() const {
    return {ErrorKind::kRateLimited,
            "the requests under way fill the " + std::to_string(held->limit() >> 20) +
                " MiB of memory that they may hold together (half of --max-inflight-mb); try again "
                "later",
            {},
            "too_many_bytes"};
  }

  std::shared_ptr<Limiter> held;      // bodies, their parsed form, files, prompts with patches
  std::shared_ptr<Limiter> decoding;  // frames, what their decoders need and their resizing
  std::shared_ptr<Limiter> videos;  // of these what files of videos need, which take long: a share
                                    // of this comes first, so that pictures pass those that wait
};

}  // namespace ernie
