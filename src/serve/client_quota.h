#pragma once

#include <memory>
#include <span>

#include "base/fair_limiter.h"
#include "base/result.h"
#include "engine/engine.h"

namespace ernie::serve {

// Bounds the sequences of one client that are under way, and the tokens they may come to.
// Thread-safe.
class ClientQuota {
 public:
  // What some requests of a client take, given back when it is destroyed.
  class Share {
   public:
    Share split(const engine::GenerationRequest& request);  // that of one of them

   private:
    friend class ClientQuota;
    FairLimiter::Share sequences_;
    FairLimiter::Share tokens_;
  };

  ClientQuota(size_t max_sequences, size_t max_tokens);  // of one client; 0: no limit

  // All of them or none. Errors: kRateLimited, or kInvalidArgument when they can never fit.
  Result<Share> acquire(ClientId client, std::span<const engine::GenerationRequest> requests) const;

 private:
  std::shared_ptr<FairLimiter> sequences_;
  std::shared_ptr<FairLimiter> tokens_;
};

}  // namespace ernie::serve
