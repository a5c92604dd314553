// ernie pack: a bfloat16 checkpoint in, a folder of quantised weights for so many ranks out.
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <utility>

#include "arguments.h"
#include "commands.h"
#include "json_flags.h"
#include "model/model_resolver.h"
#include "model/pack_writer.h"
#include "shutdown_signal.h"
#include "start_clock.h"

namespace ernie::app {
int run_pack(std::vector<std::string> args) {
  std::string model, quantization, output;
  int ranks = 1;
  CLI::App app(
      "Quantise a bfloat16 checkpoint and write each rank's part of it, with checksums. The new\n"
      "folder is loaded as it is and gives the same answers: ernie serve --model OUTPUT\n"
      "--tensor-parallel-size N\n",
      "ernie pack");
  app.add_option("model,--model", model,
                 "Checkpoint folder, or a hub name that is in a local cache")
      ->required();
  app.add_option(
         "--quantization", quantization,
         "wint8, wint4 (routed experts; int8 elsewhere), wint4-g128, wint4-g64, wint4-g32,\n"
         "or a JSON object as for ernie serve")
      ->required();
  app.add_option("--tensor-parallel-size", ranks, "Ranks that the model is cut for; also -tp")
      ->capture_default_str();
  app.add_option("--output", output, "Folder to write; it must not exist")->required();
  try {
    parse_arguments(app, normalize(std::move(args)), "pack");
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  }

  StartClock clock;
  const QuantizationFlag formats = parse_quantization_flag(quantization);
  if (formats.kv_cache) {
    throw StartError(
        "--quantization: \"kv_cache_quant_type\" is not packed; leave it out and give "
        "ernie serve --kv-cache-dtype");
  }
  model::PackOptions options{.quantization = formats.weights.value_or(model::Quantization{}),
                             .tensor_parallel_size = ranks,
                             .progress = [&](size_t done, size_t total) {
                               if (shutdown_signal::requested()) {
                                 throw StartError("interrupted; nothing was written to " + output);
                               }
                               if (done == 0) clock.begin("pack weights");
                               clock.progress(done, total);
                             }};
  if (!options.quantization.any()) {
    throw StartError("--quantization is " + quantization +
                     "; it must be wint8, wint4, wint4-g32, wint4-g64 or wint4-g128: a bfloat16 "
                     "checkpoint is served as it is");
  }
  shutdown_signal::install();
  shutdown_signal::serving();
  clock.begin("read the checkpoint");
  const std::string folder = take(model::resolve_model(model));
  model::write_pack(take(model::load_config(folder)), folder, options, output);
  clock.end();
  clock.note(fmt::format("ernie serve --model {} --tensor-parallel-size {}", output, ranks));
  return 0;
}

}  // namespace ernie::app
