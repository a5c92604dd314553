#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/fair_limiter.h"
#include "http/api_keys.h"
#include "http/request_head.h"
#include "http/server.h"

namespace ernie::http {

// What decides whether a request may go on.
struct Gate {
  ApiKeys keys;
  bool loopback_only = false;  // bound to loopback without keys: Host must be a loopback name
  std::string bind_host;
  size_t max_body_bytes = 0;
  std::shared_ptr<FairLimiter> concurrency;
};

struct Admission {
  const Route* route = nullptr;  // also set for a refused request of a known path
  std::optional<Rejection> rejection;
  std::string allow;        // for the Allow header of 405 and OPTIONS
  bool is_options = false;  // answer 204 with Allow
  size_t max_body_bytes = 0;
  ClientId client = 0;
};

// By the head alone, before a byte of the body is read. Takes nothing: a head is only a promise.
// `peer` is the client's address.
Admission admit(const Gate& gate, ServerState state, const Router& router, const RequestHead& head,
                const std::string& peer);

// Takes the slot of an inference request whose body has come; other routes need none. The state may
// have changed since the head came.
std::optional<Rejection> take_slot(const Gate& gate, ServerState state, const Admission& admission,
                                   std::optional<FairLimiter::Share>& slot);

}  // namespace ernie::http
