#include "serve_bench_options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "arguments.h"
#include "base/result.h"

namespace ernie::app {
namespace {

constexpr int kMaxConcurrency = 4096;
constexpr int kMaxLength = 1 << 20;

struct Flags {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;
  std::string endpoint = "completions";
  int num_prompts = 100;
  int max_concurrency = 0;
  double request_rate = 0;
  int input_len = 1024;
  int output_len = 128;
  double range_ratio = 0;
  int images = 0;
  std::string image_size = "512x512";
  bool ignore_eos = false;
  double temperature = 0;
  std::string token_ids = "1000-30000";
  uint64_t seed = 0;
  std::string percentiles = "50,90,99";
  std::string json;
};

void add_flags(CLI::App& app, Flags& f) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const char* group = "Server";
  app.add_option("--url", f.url, "Address of the server, without /v1")
      ->group(group)
      ->capture_default_str();
  app.add_option("--api-key", f.api_key, "Its key, if it has one; also ERNIE_API_KEY")
      ->group(group);
  app.add_option("--model", f.model, "Name of the model; found out if left out")->group(group);
  app.add_option("--endpoint", f.endpoint,
                 "completions: prompts of exactly so many token ids; chat: of so many words")
      ->group(group)
      ->capture_default_str();

  group = "Load";
  app.add_option("--num-prompts", f.num_prompts, "Requests in all")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-concurrency", f.max_concurrency,
                 fmt::format("Requests at once, 1 to {}", kMaxConcurrency))
      ->group(group);
  app.add_option("--request-rate", f.request_rate,
                 "Requests per second, at random times (Poisson); default: the next one when "
                 "--max-concurrency allows")
      ->group(group);
  app.add_option("--seed", f.seed, "Of prompts and times; the same load for the same seed")
      ->check(check_uint64, "")
      ->group(group)
      ->capture_default_str();

  group = "Requests";
  app.add_option("--random-input-len", f.input_len, "Prompt tokens (chat: words)")
      ->group(group)
      ->capture_default_str();
  app.add_option("--random-output-len", f.output_len, "Most tokens of an answer")
      ->group(group)
      ->capture_default_str();
  app.add_option("--random-range-ratio", f.range_ratio,
                 "Lengths vary from 1 - ratio to 1 + ratio times these; 0 to below 1")
      ->group(group)
      ->capture_default_str();
  app.add_option("--images", f.images, "Random pictures in each request (chat only)")
      ->group(group)
      ->capture_default_str();
  app.add_option("--image-size", f.image_size, "Their width and height in pixels")
      ->group(group)
      ->capture_default_str();
  app.add_flag("--ignore-eos", f.ignore_eos,
               "Answers always have their full length (servers that know ignore_eos)")
      ->group(group);
  app.add_option("--temperature", f.temperature, "0 takes the most likely token")
      ->group(group)
      ->capture_default_str();
  app.add_option("--token-ids", f.token_ids, "Ids that random prompts are drawn from")
      ->group(group)
      ->capture_default_str();

  group = "Report";
  app.add_option("--percentiles", f.percentiles, "Of each latency, with commas between")
      ->group(group)
      ->capture_default_str();
  app.add_option("--json", f.json, "Write the figures to this file too")->group(group);
}

void require(bool condition, const std::string& flag, const auto& found,
             const std::string& expected) {
  if (!condition) throw StartError(fmt::format("{} is {}; it must be {}", flag, found, expected));
}

std::vector<double> parse_percentiles(const std::string& text) {
  std::vector<double> numbers;
  std::istringstream in(text);
  for (std::string item; std::getline(in, item, ',');) {
    double number = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), number);
    require(error == std::errc() && end == item.data() + item.size() && number >= 0 &&
                number <= 100 && numbers.size() < 20,
            "--percentiles", text, "numbers from 0 to 100 with commas between, 20 at most");
    numbers.push_back(number);
  }
  require(!numbers.empty(), "--percentiles", "empty", "numbers with commas between");
  return numbers;
}

void parse_token_ids(const std::string& text, ServeBenchOptions& out) {
  int end = 0;
  require(
      std::sscanf(text.c_str(), "%9d-%9d%n", &out.first_token_id, &out.last_token_id, &end) == 2 &&
          static_cast<size_t>(end) == text.size() && out.first_token_id >= 0 &&
          out.last_token_id >= out.first_token_id,
      "--token-ids", text, "FIRST-LAST, as 1000-30000");
}

void parse_url(std::string url, ServeBenchOptions& out) {
  require(url.starts_with("http://") || url.starts_with("https://"), "--url", url,
          "an address as http://127.0.0.1:8000");
  while (url.ends_with('/')) url.pop_back();
  if (url.ends_with("/v1")) url.resize(url.size() - 3);
  out.url = url;
}

}  // namespace

ServeBenchOptions parse_serve_bench_options(std::vector<std::string> args) {
  Flags f;
  CLI::App app;
  app.set_help_flag();
  add_flags(app, f);
  args = normalize(std::move(args));
  parse_arguments(app, std::move(args), "bench serve");
  ServeBenchOptions out;
  parse_url(f.url, out);
  const char* key = std::getenv("ERNIE_API_KEY");
  out.api_key = f.api_key.empty() && key ? key : f.api_key;
  out.model = f.model;
  require(f.endpoint == "chat" || f.endpoint == "completions", "--endpoint", f.endpoint,
          "chat or completions");
  out.chat = f.endpoint == "chat";

  require(f.num_prompts >= 1 && f.num_prompts <= 10'000'000, "--num-prompts", f.num_prompts,
          "1 to 10000000");
  out.num_prompts = f.num_prompts;
  const bool limited = app.count("--max-concurrency") > 0;
  const bool timed = app.count("--request-rate") > 0;
  if (!limited && !timed)
    throw StartError("say how much load to make: --max-concurrency N or --request-rate R");
  require(!limited || (f.max_concurrency >= 1 && f.max_concurrency <= kMaxConcurrency),
          "--max-concurrency", f.max_concurrency, fmt::format("1 to {}", kMaxConcurrency));
  out.max_concurrency = limited ? f.max_concurrency : kMaxConcurrency;
  require(!timed || (f.request_rate > 0 && f.request_rate <= 1e6), "--request-rate", f.request_rate,
          "above 0 and at most 1000000 (left out: no pauses)");
  out.request_rate = f.request_rate;
  out.seed = f.seed;

  require(f.input_len >= 1 && f.input_len <= kMaxLength, "--random-input-len", f.input_len,
          fmt::format("1 to {}", kMaxLength));
  require(f.output_len >= 1 && f.output_len <= kMaxLength, "--random-output-len", f.output_len,
          fmt::format("1 to {}", kMaxLength));
  require(f.range_ratio >= 0 && f.range_ratio < 1, "--random-range-ratio", f.range_ratio,
          "0 to below 1");
  require(f.images >= 0 && f.images <= 256, "--images", f.images, "0 to 256");
  if (f.images > 0) require(out.chat, "--images", f.images, "0, or used with --endpoint chat");
  out.image_size = parse_picture_size("--image-size", f.image_size);
  require(f.temperature >= 0, "--temperature", f.temperature, "0 or more");
  out.input_len = f.input_len;
  out.output_len = f.output_len;
  out.range_ratio = f.range_ratio;
  out.images = f.images;
  out.ignore_eos = f.ignore_eos;
  out.temperature = f.temperature;
  parse_token_ids(f.token_ids, out);
  out.percentiles = parse_percentiles(f.percentiles);
  out.json = f.json;
  return out;
}

std::string serve_bench_help() {
  Flags flags;
  CLI::App app(
      "Measure a running server, any that speaks OpenAI's API, under a load of random requests.\n"
      "Answers are streamed. TTFT: from sending to the first token; TPOT: per token after it;\n"
      "ITL: between two pieces of a stream; E2EL: from sending to the end. Ctrl-C ends early and\n"
      "prints what was measured so far.\n",
      "ernie bench serve");
  add_flags(app, flags);
  app.get_formatter()->column_width(38);
  return app.help();
}

}  // namespace ernie::app
