#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/limiter.h"
#include "http/api_keys.h"
#include "http/request_head.h"
#include "http/server.h"

namespace ernie::http {

// What decides whether a request may go on, from its head alone, before a byte of its body is read.
struct Gate {
  ApiKeys keys;
  bool loopback_only = false;  // bound to loopback without keys: Host must be a loopback name
  std::string bind_host;
  size_t max_body_bytes = 0;
  std::shared_ptr<Limiter> concurrency;
};

struct Admission {
  const Route* route = nullptr;  // also set for a refused request of a known path
  std::optional<Rejection> rejection;
  std::string allow;        // for the Allow header of 405 and OPTIONS
  bool is_options = false;  // answer 204 with Allow
  size_t max_body_bytes = 0;
  std::optional<Limiter::Share> slot;  // of an inference request
};

Admission admit(const Gate& gate, ServerState state, const Router& router, const RequestHead& head);

}  // namespace ernie::http
