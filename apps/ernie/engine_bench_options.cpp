#include "engine_bench_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <sstream>

#include "arguments.h"
#include "engine_bench_prompts.h"
#include "model/model.h"
#include "model_choice.h"

namespace ernie::app {
namespace {

struct Flags {
  ServeFlags serve;
  std::string batch = "1,8,64";
  int input_len = 128;
  int output_len = 128;
  std::string prefill = "512,8192";
  std::string image;
  int repeats = 3;
  int shard = 1;
  int layers = 0;
  std::string json;
};

constexpr const char* kServeGroups[] = {"Model", "Capacity"};

void add_flags(CLI::App& app, Flags& f) {
  const char* group = "Measurements";
  app.add_option("--batch", f.batch, "Sequences decoded together, as 1,8,64, or none")
      ->group(group)
      ->capture_default_str();
  app.add_option("--input-len", f.input_len, "Prompt tokens of each of these sequences")
      ->group(group)
      ->capture_default_str();
  app.add_option("--output-len", f.output_len, "Tokens that each of them generates")
      ->group(group)
      ->capture_default_str();
  app.add_option("--prefill", f.prefill, "Prompt lengths to measure alone, as 512,8192, or none")
      ->group(group)
      ->capture_default_str();
  app.add_option("--image", f.image,
                 "Measure the first token after a picture of this size: 640x480")
      ->group(group);
  app.add_option("--repeats", f.repeats, "Runs of each measurement; the median counts")
      ->group(group)
      ->capture_default_str();
  app.add_option("--shard", f.shard,
                 "Run one rank's share of so many on one device, without communication")
      ->group(group);
  app.add_option("--layers", f.layers, "Only the first so many layers; dummy weights only")
      ->group(group);
  app.add_option("--json", f.json, "Write the figures to this file too")->group(group);
  add_serve_flags(app, f.serve);
  for (const char* flag : {"--config", "--served-model-name", "--tokenizer", "--chat-template",
                           "--reasoning-parser", "--max-waiting-time", "--scheduler-max-size"})
    app.remove_option(app.get_option(flag));
  for (CLI::Option* option : app.get_options([](const CLI::Option* o) {
         return !o->check_lname("help") && o->get_group() != "Measurements" &&
                std::find(std::begin(kServeGroups), std::end(kServeGroups), o->get_group()) ==
                    std::end(kServeGroups);
       }))
    app.remove_option(option);
}

void require(bool condition, const std::string& flag, const auto& found,
             const std::string& expected) {
  if (!condition) throw StartError(fmt::format("{} is {}; it must be {}", flag, found, expected));
}

std::vector<int> parse_numbers(const std::string& flag, const std::string& text, int most) {
  std::vector<int> numbers;
  if (text == "none") return numbers;
  std::istringstream in(text);
  for (std::string item; std::getline(in, item, ',');) {
    int number = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), number);
    require(
        error == std::errc() && end == item.data() + item.size() && number >= 1 && number <= most,
        flag, text, fmt::format("none, or numbers from 1 to {} with commas between", most));
    numbers.push_back(number);
  }
  require(!numbers.empty(), flag, text, "none, or numbers with commas between");
  return numbers;
}

void cut_layers(int layers, const std::string& load_choices, model::ModelConfig& config) {
  if (layers == 0) return;
  const int first = config.moe ? config.moe->first_layer + 1 : 1;
  require(layers >= first && layers <= config.num_layers, "--layers", layers,
          fmt::format("{} to {} for this model{}", first, config.num_layers,
                      first > 1 ? ", so that there are experts" : ""));
  require(load_choices == "dummy", "--layers", layers, "left out without --load-choices dummy");
  config.num_layers = layers;
  if (config.moe) config.moe->last_layer = std::min(config.moe->last_layer, layers - 1);
}

// Sizes that were not given: what the measurements need.
void size_engine(const CLI::App& app, const EngineBenchOptions& options, ServeFlags& flags) {
  const int most = options.batches.empty()
                       ? 1
                       : *std::max_element(options.batches.begin(), options.batches.end());
  int longest = options.batches.empty() ? 16 : options.input_len + options.output_len;
  for (const int tokens : options.prefill) longest = std::max(longest, tokens + 1);
  if (options.image) longest = std::max(longest, options.image_tokens + kTextAroundPicture + 1);
  const int limit = options.config.max_position_embeddings;
  require(longest <= limit, "the longest measurement", fmt::format("{} tokens", longest),
          fmt::format("at most {}, the model's positions (--prefill, --input-len and --output-len)",
                      limit));
  const auto given = [&](const char* flag) { return app.count(flag) > 0; };
  if (!given("--max-num-seqs")) flags.max_num_seqs = most;
  require(flags.max_num_seqs >= most, "--max-num-seqs", flags.max_num_seqs,
          fmt::format("at least {} (--batch)", most));
  if (!given("--max-model-len")) flags.max_model_len = std::max(longest, 16);
  require(flags.max_model_len >= longest, "--max-model-len", flags.max_model_len,
          fmt::format("at least {} (--prefill, or --input-len + --output-len)", longest));
  if (!given("--num-gpu-blocks-override") && !given("--gpu-memory-utilization") &&
      flags.block_size > 0) {
    const auto blocks = [&](int tokens) { return tokens / flags.block_size + 1; };
    flags.num_gpu_blocks_override = std::max(
        (most + 1) * blocks(options.input_len + options.output_len), blocks(flags.max_model_len));
  }
}

}  // namespace

EngineBenchOptions parse_engine_bench_options(std::vector<std::string> args,
                                              const Environment& environment) {
  Flags flags;
  CLI::App app;
  app.set_help_flag();
  add_flags(app, flags);
  args = normalize(std::move(args));
  parse_arguments(app, std::move(args), "bench engine");
  EngineBenchOptions options;
  options.batches = parse_numbers("--batch", flags.batch, 256);
  options.prefill = parse_numbers("--prefill", flags.prefill, 1 << 20);
  require(flags.input_len >= 1 && flags.input_len <= 1 << 20, "--input-len", flags.input_len,
          "1 to 1048576");
  require(flags.output_len >= 3 && flags.output_len <= 1 << 20, "--output-len", flags.output_len,
          "3 to 1048576");
  require(flags.repeats >= 1 && flags.repeats <= 1000, "--repeats", flags.repeats, "1 to 1000");
  options.input_len = flags.input_len;
  options.output_len = flags.output_len;
  options.repeats = flags.repeats;
  options.json = flags.json;
  if (!flags.image.empty()) options.image = parse_picture_size("--image", flags.image);

  options.model_name = flags.serve.model;
  const ModelChoice model = choose_model(flags.serve.model);
  options.config = model.config;
  if (model.folder.empty()) flags.serve.load_choices = "dummy";
  cut_layers(flags.layers, flags.serve.load_choices, options.config);
  require(flags.shard >= 1, "--shard", flags.shard, "at least 1");
  require(flags.shard == 1 || flags.serve.tensor_parallel_size == 1, "--tensor-parallel-size",
          flags.serve.tensor_parallel_size, "left out with --shard, which runs one rank");
  if (const Status fits = model::check_tensor_parallel(options.config, flags.shard); !fits)
    throw StartError("--shard " + std::to_string(flags.shard) +
                     " does not fit this model: " + fits.error().message);
  options.shard = flags.shard;
  if (options.image) {
    require(options.config.vision.has_value(), "--image", flags.image,
            "left out for a model that takes text only");
    options.image_tokens = picture_tokens(options.config, *options.image);
  }
  size_engine(app, options, flags.serve);
  options.serve = check_serve_flags(flags.serve, environment);
  options.serve.engine.model_dir = model.folder;
  // The tower's work buffers, no larger than what is measured.
  options.serve.engine.max_media_tokens = std::max(options.image_tokens, 4);
  return options;
}

std::string engine_bench_help() {
  Flags flags;
  CLI::App app(
      "Measure the engine alone: decoding, prefill and pictures, beside the floor that this\n"
      "machine's memory and arithmetic allow, measured in the same run. --model also takes a\n"
      "config.json or the name of a built-in geometry, with dummy weights: " +
          fmt::format("\n{}", fmt::join(model::builtin_config_names(), ",\n")) + ".\n",
      "ernie bench engine");
  add_flags(app, flags);
  app.get_formatter()->column_width(38);
  return app.help();
}

}  // namespace ernie::app
