// ernie bench: measures the engine alone, or a running server.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "base/log.h"
#include "chat_client.h"
#include "commands.h"
#include "engine_bench.h"
#include "load_client.h"
#include "load_report.h"
#include "print_error.h"
#include "serve_bench_options.h"
#include "shutdown_signal.h"

namespace ernie::app {
namespace {

constexpr const char* kUsage = R"(ernie bench: measure speed

  ernie bench engine --model NAME [flags]   the engine alone, on dummy or real weights, beside the
                                            floor that the machine allows
  ernie bench serve --url URL [flags]       a running server, ours or another, under load

"ernie bench engine --help" and "ernie bench serve --help" list the flags.
)";

constexpr int kInterrupted = 130;  // what shells report for Ctrl-C
constexpr double kLogPause = 5;    // seconds between lines when stderr is no terminal

// Opened before the run, so that a bad name costs no measurement.
std::ofstream open_report(const std::string& path) {
  std::ofstream file;
  if (path.empty()) return file;
  file.open(path);
  if (!file) throw StartError("--json: cannot write " + path);
  return file;
}

void write_report(std::ofstream& file, const std::string& path, const std::string& text) {
  if (path.empty()) return;
  file << text;
  file.close();
  if (!file) throw std::runtime_error("--json: writing " + path + " failed");
}

int bench_engine(std::vector<std::string> args) {
  const EngineBenchOptions options =
      parse_engine_bench_options(std::move(args), model::process_environment());
  std::ofstream file = open_report(options.json);
  StartClock clock;
  const EngineBenchResult result = run_engine_bench(options, clock);
  fmt::print("{}", engine_bench_table(options, result));
  write_report(file, options.json, engine_bench_json(options, result));
  return 0;
}

// One line that is written over on a terminal, elsewhere a line every few seconds.
class ProgressLine {
 public:
  explicit ProgressLine(int count) : count_(count) {}

  void show(const LoadProgress& p) {
    if (!terminal_ && p.seconds < next_) return;
    next_ = p.seconds + kLogPause;
    const double rate = static_cast<double>(p.pieces) / std::max(p.seconds, 1e-3);
    print_error("{}bench: {:.0f} s, {} of {} done, {} failed, {} running, {:.0f} tok/s{}",
                terminal_ ? "\r" : "", p.seconds, p.completed, count_, p.failed, p.running, rate,
                terminal_ ? "\x1b[K" : "\n");
    shown_ = true;
  }
  void clear() {
    if (terminal_ && shown_) print_error("\r\x1b[K");
  }

 private:
  const int count_;
  const bool terminal_ = isatty(STDERR_FILENO);
  double next_ = kLogPause;
  bool shown_ = false;
};

std::string find_model(const ServeBenchOptions& options) {
  if (!options.model.empty()) return options.model;
  ChatClient client({.url = options.url, .api_key = options.api_key});
  if (const Status connected = client.connect(); !connected)
    throw StartError(connected.error().message);
  return client.model();
}

// One request before the others: connections, errors in the flags, the server's first-time work.
void try_server(const ServeBenchOptions& options, const LoadRequests& requests) {
  const LoadResult result = run_load(options, requests, uint64_t{1} << 40, 1,
                                     {.progress = {}, .stop = shutdown_signal::requested});
  if (result.failed > 0)
    throw StartError("the first request failed: " + result.failures.begin()->first);
}

int bench_serve(std::vector<std::string> args) {
  const ServeBenchOptions options = parse_serve_bench_options(std::move(args));
  std::ofstream file = open_report(options.json);
  const std::string model = find_model(options);
  const LoadRequests requests(options, model);
  shutdown_signal::install();
  shutdown_signal::serving();
  try_server(options, requests);
  ProgressLine line(options.num_prompts);
  const LoadResult result = run_load(options, requests, 0, options.num_prompts,
                                     {.progress = [&line](const LoadProgress& p) { line.show(p); },
                                      .stop = shutdown_signal::requested});
  line.clear();
  fmt::print("{} at {}\n\n{}", printable(model), options.url, load_table(options, result));
  write_report(file, options.json, load_json(options, model, result));
  if (shutdown_signal::requested()) return kInterrupted;
  return result.completed > 0 ? 0 : 1;
}

}  // namespace

int run_bench(std::vector<std::string> args) {
  const std::string what = args.empty() ? "--help" : args[0];
  const bool bare = args.empty();
  if (!bare) args.erase(args.begin());
  const bool help = std::find(args.begin(), args.end(), "--help") != args.end() ||
                    std::find(args.begin(), args.end(), "-h") != args.end();
  if (what == "engine") {
    if (!help) return bench_engine(std::move(args));
    fmt::print("{}", engine_bench_help());
  } else if (what == "serve") {
    if (!help) return bench_serve(std::move(args));
    fmt::print("{}", serve_bench_help());
  } else if (what == "--help" || what == "-h" || what == "help") {
    fmt::print("{}", kUsage);
    return bare ? 2 : 0;
  } else {
    throw StartError("unknown benchmark \"" + what + "\"; there are engine and serve");
  }
  return 0;
}

}  // namespace ernie::app
