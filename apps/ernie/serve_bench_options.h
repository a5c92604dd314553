#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "random_picture.h"

namespace ernie::app {

// Everything `ernie bench serve` was told.
struct ServeBenchOptions {
  std::string url;  // of the server, without /v1 and without a slash at the end
  std::string api_key;
  std::string model;  // empty: what /v1/models names first
  bool chat = true;   // else the completions endpoint
  int num_prompts = 0;
  int max_concurrency = 0;
  double request_rate = 0;  // per second, Poisson; 0: as fast as max_concurrency allows
  int input_len = 0;
  int output_len = 0;
  double range_ratio = 0;
  int images = 0;  // of each request
  PictureSize image_size;
  bool ignore_eos = false;
  double temperature = 0;
  int first_token_id = 0;  // of random prompts
  int last_token_id = 0;
  uint64_t seed = 0;
  std::vector<double> percentiles;
  std::string json;  // file; empty: none
};

// The command line after "bench serve". Throws StartError that names flag, value and limit.
ServeBenchOptions parse_serve_bench_options(std::vector<std::string> args);

// The text of `ernie bench serve --help`.
std::string serve_bench_help();

}  // namespace ernie::app
