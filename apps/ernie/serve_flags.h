#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ernie::app {

// The values of `ernie serve`'s flags before they are checked; defaults are FastDeploy's, but for
// --host.
struct ServeFlags {
  std::string config;
  std::string model;
  std::string served_model_name;
  std::string tokenizer;
  std::string load_choices = "default_v1";
  std::string quantization;
  std::string dtype = "bfloat16";
  std::string kv_cache_dtype = "auto";
  std::string chat_template;
  std::string reasoning_parser;
  std::string tool_call_parser;

  std::string host = "127.0.0.1";
  int port = 8000;
  std::optional<int> metrics_port;
  bool no_web = false;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  bool cache_salt_by_key = false;
  int max_concurrency = 512;
  int max_requests_per_client = 0;
  int max_sequences_per_client = 0;
  int max_tokens_per_client = 0;
  int max_connections = 4096;
  int max_request_mb = 64;
  std::optional<int> max_inflight_mb;
  int max_grammar_mb = 1024;
  int graceful_timeout = 0;

  int tensor_parallel_size = 1;
  std::string device = "auto";
  int cpu_threads = 0;
  int max_model_len = 2048;
  int max_num_seqs = 8;
  std::optional<int> max_num_batched_tokens;
  double gpu_memory_utilization = 0.9;
  int num_gpu_blocks_override = 0;
  int block_size = 64;
  int max_encoder_cache = -1;
  bool prefix_caching = true;
  bool chunked_prefill = true;
  bool disable_chunked_mm_input = false;
  bool check_invariants = false;
  std::string graph_optimization_config;
  double max_waiting_time = -1;
  int scheduler_max_size = -1;

  std::string limit_mm_per_prompt;
  std::string mm_processor_kwargs;
  double max_processor_cache = -1;
  bool allow_private_media = false;
  std::string allowed_local_media_path;

  int max_logprobs = 20;
  uint64_t seed = 0;

  std::vector<std::string> notes;
};

// Adds all flags to `app`, in groups. `flags` must outlive it.
void add_serve_flags(CLI::App& app, ServeFlags& flags);

// Whether a flag is taken for FastDeploy's launch lines only.
bool is_without_effect(const CLI::Option& flag);

// Why a flag of FastDeploy that this program does not have is refused, and what to use; null for
// names that are no such flag. `name` has no leading dashes and '-' for '_'.
const char* unsupported_flag(const std::string& name);

}  // namespace ernie::app
