// ernie run-batch: a file of requests in, a file of answers out, without a server.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/background_log.h"
#include "base/log.h"
#include "batch_run.h"
#include "commands.h"
#include "http/api/routes.h"
#include "options.h"
#include "served_model.h"
#include "shutdown_signal.h"

namespace ernie::app {
namespace {

constexpr const char* kHelp =
    R"(Answer the requests of a file, in OpenAI's batch form: a JSON object on each line with
"custom_id", "method": "POST", "url" (/v1/chat/completions, /v1/completions, /v1/responses,
/v1/messages) and "body". Answers are written as they end, one line for each; the same command
goes on where an earlier run was stopped.

ernie run-batch -i INPUT -o OUTPUT --model FOLDER [flags of ernie serve]

  -i, --input-file FILE     requests
  -o, --output-file FILE    answers; lines that it has are not asked again
)";

// Takes the value of a flag out of the arguments.
std::string take_flag(std::vector<std::string>& args, const std::string& brief,
                      const std::string& name) {
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i].starts_with(name + "=")) {
      std::string value = args[i].substr(name.size() + 1);
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i));
      return value;
    }
    if ((args[i] == brief || args[i] == name) && i + 1 < args.size()) {
      std::string value = args[i + 1];
      const auto at = args.begin() + static_cast<std::ptrdiff_t>(i);
      args.erase(at, at + 2);
      return value;
    }
  }
  throw StartError("run-batch needs " + name + "; see ernie run-batch --help");
}

}  // namespace

int run_batch_command(std::vector<std::string> args) {
  if (std::find(args.begin(), args.end(), "--help") != args.end()) {
    fmt::print("{}", kHelp);
    return 0;
  }
  shutdown_signal::install();
  log::BackgroundLog lines;
  BatchFiles files;
  files.input = take_flag(args, "-i", "--input-file");
  files.output = take_flag(args, "-o", "--output-file");
  const ServeOptions options = parse_serve_options(std::move(args), model::process_environment());
  const BatchPlan plan = plan_batch(files);
  if (plan.done.size() == plan.lines) {
    fmt::print(stderr, "run-batch: {} has all {} answers\n", files.output, plan.lines);
    return 0;
  }

  StartClock clock;
  obs::Metrics metrics;
  std::atomic<bool> engine_lost = false;
  ServedModel model(options, clock, metrics, [&](const std::string& reason) {
    log::error("the engine failed: {}", reason);
    engine_lost = true;
  });
  http::Router router;
  const http::ApiContext api{.engine = &model.engine(),
                             .service = &model.service(),
                             .model_name = options.served_model_name,
                             .check_model_name = options.check_model_name,
                             .json = {.memory = options.server.memory}};
  http::register_api(router, api);
  http::register_other_apis(router, api);
  shutdown_signal::serving();

  const size_t before = plan.done.size();
  clock.note(fmt::format("{} requests, {} of them answered before", plan.lines, before));
  const auto begun = std::chrono::steady_clock::now();
  const BatchOptions run{
      .parallel = 2 * static_cast<size_t>(model.engine().config().max_num_seqs),
      .memory = options.server.memory,
      .stop = [&] { return shutdown_signal::requested() || engine_lost; },
      .progress =
          [&](size_t answered, size_t failed) {
            const double seconds =
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
            log::info("{} of {} answered, {} failed, {:.1f} a second", answered, plan.lines, failed,
                      static_cast<double>(answered - before) / seconds);
          }};
  const BatchResult result = run_batch(files, plan, router, run);
  lines.stop();
  const bool whole = result.answered == plan.lines;
  fmt::print(stderr, "run-batch: {} of {} answered, {} failed; {}{}\n", result.answered, plan.lines,
             result.failed, files.output, whole ? "" : ": the same command goes on from here");
  return whole ? 0 : 1;
}

}  // namespace ernie::app
