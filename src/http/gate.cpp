#include "http/gate.h"

#include <algorithm>
#include <functional>

#include "base/ascii.h"
#include "http/chunked_body.h"
#include "http/host.h"

namespace ernie::http {
namespace {

Rejection refuse(ErrorKind kind, std::string message, std::string code) {
  return Rejection(Error{kind, std::move(message), {}, std::move(code)});
}

bool is_json(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return lowercase(std::move(type)) == "application/json";
}

bool host_allowed(const Gate& gate, const std::string& host) {
  return !gate.loopback_only || is_loopback_host(host) || host == gate.bind_host;
}

// The key in OpenAI's header or in Anthropic's; in both if it is the same. A header that comes
// twice says nothing.
std::optional<size_t> find_key(const Gate& gate, const RequestHead& head) {
  std::string keys[2];
  for (const auto& [name, value] : head.headers) {
    if (name != "authorization" && name != "x-api-key") continue;
    std::string& key = keys[name == "x-api-key"];
    if (!key.empty()) return std::nullopt;
    key = name == "x-api-key" ? "Bearer " + value : value;
  }
  const auto found = gate.keys.find(keys[0].empty() ? keys[1] : keys[0]);
  const bool agree = keys[0].empty() || keys[1].empty() || found == gate.keys.find(keys[1]);
  return agree ? found : std::nullopt;
}

std::optional<Rejection> check_state(const Route& route, ServerState state) {
  if (!route.options.is_inference || state == ServerState::kReady) return {};
  return state == ServerState::kStarting
             ? refuse(ErrorKind::kUnavailable, "the model is still loading", "starting")
             : refuse(ErrorKind::kUnavailable,
                      "the server is shutting down and takes no new requests", "shutting_down");
}

Rejection too_many(const Gate& gate, ClientId client) {
  const FairLimiter& concurrency = *gate.concurrency;
  const bool own = concurrency.room(client) == FairLimiter::Room::kClientFull;
  return refuse(ErrorKind::kRateLimited,
                own ? "this client is at its limit of " +
                          std::to_string(concurrency.limit_of_client()) +
                          " simultaneous requests (--max-requests-per-client); try again later"
                    : "the server is at its limit of " + std::to_string(concurrency.limit()) +
                          " simultaneous requests (--max-concurrency); try again later",
                "too_many_requests");
}

std::optional<Rejection> check_body(const Route& route, const RequestHead& head, size_t limit) {
  if (route.method == "GET" && head.has_body())
    return refuse(ErrorKind::kTooLarge, "this route takes no request body", "body_not_taken");
  const std::string_view encoding = head.header("content-encoding");
  if (!encoding.empty() && encoding != "identity")
    return refuse(ErrorKind::kUnsupportedMedia,
                  "compressed request bodies are not supported; send the body as it is",
                  "unsupported_content_encoding");
  if (route.options.requires_json && !is_json(head.header("content-type")))
    return refuse(ErrorKind::kUnsupportedMedia, "the Content-Type must be application/json",
                  "unsupported_content_type");
  if (head.content_length > limit) return body_too_large(limit);
  return {};
}

}  // namespace

Admission admit(const Gate& gate, ServerState state, const Router& router, const RequestHead& head,
                const std::string& peer) {
  Admission out;
  out.client = std::hash<std::string>()(peer);
  if (!host_allowed(gate, head.host)) {
    out.rejection =
        refuse(ErrorKind::kPermissionDenied,
               "this server listens on loopback without a key and answers only requests "
               "to a loopback name such as localhost; set --api-key to serve others",
               "host_not_allowed");
    return out;
  }
  const Route* any = router.find_path(head.path);
  if (!any) {
    out.rejection = state == ServerState::kStarting
                        ? refuse(ErrorKind::kUnavailable, "the model is still loading", "starting")
                        : refuse(ErrorKind::kNotFound, "there is no such route", "not_found");
    return out;
  }
  out.route = router.find(head.method, head.path);
  if (!out.route) out.route = any;
  if (out.route->options.requires_key && !gate.keys.empty()) {
    const std::optional<size_t> key = find_key(gate, head);
    if (!key) {
      out.rejection =
          refuse(ErrorKind::kUnauthenticated,
                 "a valid API key is required: send it as Authorization: Bearer KEY, or as "
                 "x-api-key",
                 "invalid_api_key");
      return out;
    }
    out.client = *key;
  }
  if (head.method == "OPTIONS" && out.route->method != "OPTIONS") {
    out.is_options = true;
    out.allow = router.allow(head.path);
    return out;
  }
  if (!router.find(head.method, head.path)) {
    out.allow = router.allow(head.path);
    out.rejection =
        refuse(ErrorKind::kMethodNotAllowed,
               "this route does not take the method; it takes " + out.allow, "method_not_allowed");
    return out;
  }
  const RouteOptions& options = out.route->options;
  out.max_body_bytes = options.max_body_bytes
                           ? std::min(options.max_body_bytes, gate.max_body_bytes)
                           : gate.max_body_bytes;
  out.rejection = check_state(*out.route, state);
  if (!out.rejection) out.rejection = check_body(*out.route, head, out.max_body_bytes);
  if (!out.rejection && options.is_inference &&
      gate.concurrency->room(out.client) != FairLimiter::Room::kThere)
    out.rejection = too_many(gate, out.client);
  return out;
}

std::optional<Rejection> take_slot(const Gate& gate, ServerState state, const Admission& admission,
                                   std::optional<FairLimiter::Share>& slot) {
  if (!admission.route->options.is_inference) return {};
  if (auto rejection = check_state(*admission.route, state)) return rejection;
  slot = gate.concurrency->acquire(admission.client);
  if (!slot) return too_many(gate, admission.client);
  return {};
}

}  // namespace ernie::http
