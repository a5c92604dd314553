#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "options.h"
#include "random_picture.h"

namespace ernie::app {

// Everything `ernie bench engine` was told.
struct EngineBenchOptions {
  std::string model_name;     // for the report
  model::ModelConfig config;  // cut to its first layers if that was asked for
  ServeOptions serve;         // device, memory and the engine's settings, large enough for all runs
  std::vector<int> batches;
  int input_len = 0;
  int output_len = 0;
  std::vector<int> prefill;  // prompt lengths
  std::optional<PictureSize> image;
  int image_tokens = 0;
  int repeats = 0;
  int shard = 1;     // above 1: one rank's share of so many
  std::string json;  // file; empty: none
};

// The command line after "bench engine". Reads the model's configuration. Throws StartError that
// names flag, value and limit.
EngineBenchOptions parse_engine_bench_options(std::vector<std::string> args,
                                              const Environment& environment);

// The text of `ernie bench engine --help`.
std::string engine_bench_help();

}  // namespace ernie::app
