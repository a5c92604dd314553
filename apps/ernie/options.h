#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "http/server.h"
#include "model/model_resolver.h"
#include "model/picture_limits.h"
#include "serve/chat_service.h"
#include "serve_flags.h"

namespace ernie::app {

using model::Environment;

// Everything `ernie serve` was told. engine.model_dir and sizes that depend on the checkpoint are
// filled in later.
struct ServeOptions {
  std::string model;              // folder or hub name, as typed
  std::string served_model_name;  // as clients see it; without the flag the last part of a path
  bool check_model_name = false;  // requests must use it
  std::string chat_template;      // Jinja source; empty: the checkpoint's own or the built-in one
  std::string tool_call_parser;   // empty: what the template shows
  engine::EngineConfig engine;
  serve::ServiceConfig service;
  model::PictureLimits picture_limits;
  size_t media_cache_bytes = 0;  // 0: none
  http::ServerOptions server;
  bool cache_salt_by_key = false;
  bool web = true;                           // the pages at / and /dashboard
  std::optional<uint16_t> metrics_port;      // set: metrics have a listener of their own
  std::chrono::seconds graceful_timeout{0};  // 0: running requests may take as long as they need
  std::string device = "auto";               // auto, cpu or cuda
  int cpu_threads = 0;                       // 0: one per core
  boost::json::object shown_flags;           // for /config-info
  std::vector<std::string> notes;  // flags that change nothing or were changed, with the reason
};

// The command line after "serve". Flag names may be spelled with '_' for '-'. Throws StartError
// that names flag, value and limit. Reads FD_API_KEY, FD_SAMPLING_CLASS and
// FD_DISABLE_CHUNKED_PREFILL from `environment`.
ServeOptions parse_serve_options(std::vector<std::string> args, const Environment& environment);

// The same checks on flags that were read already. `flags.model` may be empty.
ServeOptions check_serve_flags(const ServeFlags& flags, const Environment& environment);

// The text of `ernie serve --help`.
std::string serve_help();

}  // namespace ernie::app
