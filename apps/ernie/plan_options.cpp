#include "plan_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "arguments.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "model_choice.h"

namespace ernie::app {
namespace {

// The flags of `ernie serve` that decide what memory is taken.
constexpr const char* kServeFlags[] = {"model",
                                       "dtype",
                                       "quantization",
                                       "kv-cache-dtype",
                                       "max-model-len",
                                       "max-num-seqs",
                                       "max-num-batched-tokens",
                                       "gpu-memory-utilization",
                                       "num-gpu-blocks-override",
                                       "block-size",
                                       "max-encoder-cache",
                                       "enable-chunked-prefill",
                                       "limit-mm-per-prompt",
                                       "mm-processor-kwargs"};

struct Flags {
  ServeFlags serve;
  std::string gpus;
  bool json = false;
};

void add_flags(CLI::App& app, Flags& f) {
  add_serve_flags(app, f.serve);
  for (CLI::Option* option : app.get_options()) {
    const bool stays = option->check_lname("help") ||
                       std::any_of(std::begin(kServeFlags), std::end(kServeFlags),
                                   [&](const char* flag) { return option->check_lname(flag); });
    if (!stays) app.remove_option(option);
  }
  app.add_option("--gpus", f.gpus,
                 "GPUs that share the model and the size of each, such as 2x141G, or cpu; left "
                 "out: a table of what fits where")
      ->group("Plan");
  app.add_flag("--json", f.json, "Print JSON")->group("Plan");
}

}  // namespace

PlanOptions parse_plan_options(std::vector<std::string> args, const Environment& environment) {
  Flags flags;
  CLI::App app;
  app.set_help_flag();
  add_flags(app, flags);
  args = normalize(std::move(args));
  for (const std::string& arg : args)
    if (flag_name(arg) == "tensor-parallel-size")
      throw StartError(
          "--tensor-parallel-size is not taken here; it is the count of --gpus, such as 2x80G");
  parse_arguments(app, std::move(args), "plan");
  PlanOptions options;
  options.model_name = flags.serve.model;
  options.quantization = flags.serve.quantization;
  options.json = flags.json;
  if (!flags.gpus.empty()) options.devices = parse_device_group(flags.gpus);

  const ModelChoice model = choose_model(flags.serve.model);
  options.config = model.config;
  const bool packed = model.config.packed_ranks > 0;
  options.has_checkpoint = packed || (!model.folder.empty() && model::has_checkpoint(model.folder));
  if (options.has_checkpoint) options.config = model::with_stored_head(model.config, model.folder);
  // What a checkpoint decides is known now, except that a pack is for one number of ranks only.
  if (!packed) flags.serve.load_choices = "dummy";
  options.serve = check_serve_flags(flags.serve, environment);
  options.serve.engine.model_dir = model.folder;
  options.serve.engine.max_media_tokens = model::max_media_tokens(
      options.config, take(model::load_processor_options(options.config, model.folder,
                                                         options.serve.picture_limits)));
  return options;
}

std::string plan_help() {
  Flags flags;
  CLI::App app(
      "Say what memory a model takes and whether it fits, without its weights and without a GPU.\n"
      "--model also takes a config.json or the name of a built-in geometry: " +
          fmt::format("\n{}", fmt::join(model::builtin_config_names(), ",\n")) + ".\n",
      "ernie plan");
  add_flags(app, flags);
  app.get_formatter()->column_width(38);
  return app.help();
}

}  // namespace ernie::app
