// ernie serve: flags in, a running server out.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/background_log.h"
#include "base/log.h"
#include "commands.h"
#include "config_info.h"
#include "engine_metrics.h"
#include "http/api/page_routes.h"
#include "http/api/routes.h"
#include "http/recent_errors.h"
#include "http/server.h"
#include "options.h"
#include "served_model.h"
#include "shutdown_signal.h"
#include "web_files.h"

namespace ernie::app {
namespace {

using http::HttpServer;
using http::Router;
using http::ServerState;
using namespace std::chrono_literals;

constexpr auto kPoll = 50ms;
constexpr auto kTrimPause = 20s;
constexpr int kReturnedBlock = 8 << 20;  // bytes; freed blocks from here on go back to the system
constexpr auto kLastAnswers = 2s;        // for errors to reach clients before the end

bool is_probe(const std::string& path) {
  return path == "/health" || path == "/ping" || path == "/metrics" || path == "/load" ||
         path == "/errors";
}

// One line and one sample for each answered request but probes. Holds nothing a client chose
// freely.
void report(obs::Metrics& metrics, http::RecentErrors& errors, const http::AccessRecord& r) {
  if (is_probe(r.path)) return;
  metrics.record_http(r.method, r.path, r.status, r.seconds);
  errors.add(r);
  log::info("{} {} {} in {:.3f} s, {} bytes, id {}", r.method, r.path, r.status, r.seconds,
            r.response_bytes, r.request_id);
}

// Routes that answer while the model is loading.
std::shared_ptr<const Router> starting_routes(const ServeOptions& options) {
  auto router = std::make_shared<Router>();
  for (const char* path : {"/health", "/ping"})
    router->add("GET", path, {.requires_key = false},
                [](http::HttpRequest, std::shared_ptr<http::ResponseWriter> writer) {
                  writer->send_error(
                      {ErrorKind::kUnavailable, "the model is still loading", {}, "starting"});
                });
  if (options.web) {
    http::register_page(*router, web_files(), "/");
    http::register_page_assets(*router, web_files());
  }
  return router;
}

std::unique_ptr<HttpServer> listen(http::ServerOptions options,
                                   std::shared_ptr<const Router> router) {
  auto server = HttpServer::start(std::move(options), std::move(router));
  if (!server) throw StartError(server.error().message);
  return std::move(*server);
}

std::string url_host(const std::string& host) {
  if (host == "0.0.0.0" || host == "::") return "127.0.0.1";
  return host.find(':') != std::string::npos && host[0] != '[' ? "[" + host + "]" : host;
}

void warn_exposed(const ServeOptions& options) {
  const std::string& host = options.server.host;
  if ((host == "0.0.0.0" || host == "::") && options.server.api_keys.empty())
    log::warn(
        "listening on all addresses without a key: anybody who can reach this port can use "
        "it; set --api-key");
}

void print_ready(const ServeOptions& options, const HttpServer& server, const HttpServer& metrics,
                 engine::Engine& engine, StartClock& clock) {
  const auto& memory = engine.memory();
  const int64_t tokens = int64_t{memory.num_blocks} * engine.config().block_size;
  clock.note(memory.to_string());
  clock.note(fmt::format("cache of {} tokens: {:.1f} requests of full length ({} tokens) at once",
                         tokens, static_cast<double>(tokens) / engine.config().max_model_len,
                         engine.config().max_model_len));
  clock.note(fmt::format("ready after {:.2f} s", clock.seconds()));
  const std::string base =
      fmt::format("http://{}:{}", url_host(options.server.host), server.port());
  if (options.web) clock.note(fmt::format("page     {}/", base));
  clock.note(fmt::format("chat     {}/v1/chat/completions", base));
  clock.note(
      fmt::format("metrics  http://{}:{}/metrics", url_host(options.server.host), metrics.port()));
  clock.note(fmt::format("health   {}/health", base));
}

// glibc raises its thresholds as large blocks come and go, up to 64 MiB that each thread's arena
// may keep; fixed ones stay.
void fix_allocator_thresholds() {
  mallopt(M_MMAP_THRESHOLD, kReturnedBlock);
  mallopt(M_TRIM_THRESHOLD, kReturnedBlock);
}

// A dump would hold the keys. A limit of 1 also stops those that the kernel pipes to a program
// (core(5)), which a limit of 0 does not.
void forbid_core_dumps() {
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur = std::min<rlim_t>(1, limit.rlim_max);
  setrlimit(RLIMIT_CORE, &limit);
}

[[noreturn]] void end_after_fault(HttpServer& server, log::BackgroundLog& lines) {
  server.drain(kLastAnswers);
  server.stop();
  lines.stop();
  // Threads may hang in the lost device; nothing of theirs is worth waiting for.
  std::fflush(nullptr);
  std::_Exit(1);
}

// Waits for a signal or a device fault, then ends the server; returns the exit status.
int serve_until_stopped(const ServeOptions& options, HttpServer& server, engine::Engine& engine,
                        const std::atomic<bool>& engine_lost, log::BackgroundLog& lines) {
  auto last_trim = std::chrono::steady_clock::now();
  while (!shutdown_signal::requested() && !engine_lost) {
    std::this_thread::sleep_for(kPoll);
    if (std::chrono::steady_clock::now() < last_trim + kTrimPause) continue;
    last_trim = std::chrono::steady_clock::now();
    malloc_trim(0);  // a burst of large requests must not stay in the process's memory
  }
  if (engine_lost) end_after_fault(server, lines);
  log::info("shutting down: {} requests are running; a second signal ends them",
            server.running_requests());
  const bool finished = server.drain(options.graceful_timeout, [&] { return engine_lost.load(); });
  if (engine_lost) end_after_fault(server, lines);
  if (!finished) {
    log::warn("{} requests are ended after {} s (--timeout-graceful-shutdown)",
              server.running_requests(), options.graceful_timeout.count());
    engine.drain(0ms);  // what is still being prepared is refused
    engine.cancel_all();
    server.drain(kLastAnswers);
  }
  server.stop();
  return 0;
}

}  // namespace

int run_serve(std::vector<std::string> args) {
  if (std::find(args.begin(), args.end(), "--help") != args.end() ||
      std::find(args.begin(), args.end(), "-h") != args.end()) {
    fmt::print("{}", serve_help());
    return 0;
  }
  shutdown_signal::install();
  fix_allocator_thresholds();
  log::BackgroundLog lines;
  ServeOptions options = parse_serve_options(std::move(args), model::process_environment());
  for (const std::string& note : options.notes) log::info("{}", note);
  warn_exposed(options);
  if (!options.server.api_keys.empty()) forbid_core_dumps();

  StartClock clock;
  obs::Metrics metrics;
  http::RecentErrors errors;
  options.server.on_response = [&](const http::AccessRecord& r) { report(metrics, errors, r); };

  // Ports are taken before the model is loaded, so that a conflict shows at once.
  clock.begin("listen");
  auto server = listen(options.server, starting_routes(options));
  std::unique_ptr<HttpServer> metrics_server;
  if (options.metrics_port) {
    http::ServerOptions apart{.host = options.server.host,
                              .port = *options.metrics_port,
                              .threads = 1,
                              .max_connections = 64};
    metrics_server = listen(std::move(apart), std::make_shared<Router>());
  }

  std::atomic<bool> engine_lost = false;
  ServedModel model(options, clock, metrics, [&](const std::string& reason) {
    log::error("the process ends: {}", reason);
    engine_lost = true;
  });
  metrics.set_cache_config(cache_labels(model.engine()));

  auto router = std::make_shared<Router>();
  const http::ApiContext api{
      .engine = &model.engine(),
      .service = &model.service(),
      .model_name = options.served_model_name,
      .check_model_name = options.check_model_name,
      .cache_salt_by_key = options.cache_salt_by_key,
      .json = {.max_bytes =
                   std::max(http::JsonLimits().max_bytes, 4 * options.server.limits.max_body_bytes),
               .memory = options.server.memory}};
  http::register_api(*router, api);
  http::register_utilities(*router, api);
  http::register_other_apis(*router, api);
  const auto ready = [&server] { return server->state() == ServerState::kReady; };
  http::register_health(*router, model.engine(), ready);
  auto metrics_router = metrics_server ? std::make_shared<Router>() : router;
  if (metrics_server) http::register_health(*metrics_router, model.engine(), ready);
  http::register_metrics(*metrics_router, metrics, [&] {
    metrics.set_engine(to_gauges(model.engine().stats(), model.engine().config()));
    metrics.set_dropped_log_lines(lines.dropped());
  });
  http::register_status(*metrics_router, model.engine(), errors,
                        config_info(options, model, clock.seconds()));
  if (options.web) {
    http::register_page(*router, web_files(), "/");
    http::register_page(*metrics_router, web_files(), "/dashboard");
    http::register_page_assets(*router, web_files());
    if (metrics_server) http::register_page_assets(*metrics_router, web_files());
  }
  if (metrics_server) metrics_server->set_router(metrics_router);
  server->set_router(router);
  shutdown_signal::serving();
  server->set_state(ServerState::kReady);
  if (metrics_server) metrics_server->set_state(ServerState::kReady);
  print_ready(options, *server, metrics_server ? *metrics_server : *server, model.engine(), clock);

  const int status = serve_until_stopped(options, *server, model.engine(), engine_lost, lines);
  if (metrics_server) metrics_server->stop();
  return status;
}

}  // namespace ernie::app
