#include "options.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <filesystem>
#include <limits>
#include <sstream>
#include <thread>

#include "arguments.h"
#include "base/ascii.h"
#include "config_info.h"
#include "json_flags.h"
#include "serve_flags.h"
#include "text/answer_syntax.h"
#include "text/json_file.h"
#include "web_files.h"

namespace ernie::app {
namespace {

constexpr int kInflightMb = 2048;
constexpr int kInflightPerRequest = 8;  // a body, its parsed form and what is made of it
constexpr int kMaxInflightMb = 1 << 20;

void require(bool condition, const std::string& flag, const auto& found, const char* expected) {
  if (!condition) throw StartError(fmt::format("{} is {}; it must be {}", flag, found, expected));
}

DType parse_dtype(const std::string& text) {
  const std::string name = lowercase(text);
  if (name == "bfloat16" || name == "bf16" || name == "auto") return DType::kBF16;
  require(name == "float32" || name == "fp32" || name == "float", "--dtype", text,
          "bfloat16 or float32");
  return DType::kF32;
}

// --kv-cache-dtype, by vLLM's names, or what --quantization says of it; none: as activations.
std::optional<KvType> kv_cache_type(const ServeFlags& f, DType activation,
                                    const QuantizationFlag& formats) {
  const std::string name = lowercase(f.kv_cache_dtype);
  if (name == "auto") return formats.kv_cache;
  KvType type = KvType::kBF16;
  if (name == "int8") {
    type = KvType::kInt8;
  } else if (name == "fp8" || name == "fp8_e4m3") {
    type = KvType::kFp8;
  } else {
    require(name == "bfloat16" || name == "bf16", "--kv-cache-dtype", f.kv_cache_dtype,
            "auto, bfloat16, int8 or fp8 (e4m3)");
    require(activation == DType::kBF16, "--kv-cache-dtype", f.kv_cache_dtype,
            "auto, int8 or fp8 with --dtype float32");
  }
  if (formats.kv_cache && *formats.kv_cache != type)
    throw StartError(fmt::format(
        "--kv-cache-dtype is {}, but \"kv_cache_quant_type\" of --quantization is {}; give one",
        f.kv_cache_dtype, kv_type_name(*formats.kv_cache)));
  return type;
}

// The argument itself, or the content of the file it names.
std::string read_template(const std::string& text) {
  std::error_code ignored;
  if (text.find('\n') != std::string::npos || !std::filesystem::is_regular_file(text, ignored)) {
    require(text.empty() || text.find('{') != std::string::npos, "--chat-template", text,
            "a readable file or a Jinja template");
    return text;
  }
  const Result<std::string> content = text::read_file(text);
  if (!content) throw StartError("--chat-template: " + content.error().message);
  return *content;
}

// Appends the keys of a file, one on each line; blank lines are none.
void read_api_keys(const std::string& path, std::vector<std::string>& keys) {
  if (path.empty()) return;
  const Result<std::string> text = text::read_file(path);
  if (!text) throw StartError("--api-key-file: " + text.error().message);
  const size_t before = keys.size();
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos) continue;
    keys.push_back(line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin));
  }
  if (keys.size() == before)
    throw StartError("--api-key-file: " + path + " has no key; put one on each line");
}

void fill_server(const ServeFlags& f, const Environment& environment, ServeOptions& out) {
  require(f.port >= 0 && f.port <= 65535, "--port", f.port, "0 to 65535");
  require(f.max_concurrency >= 1, "--max-concurrency", f.max_concurrency, "at least 1");
  require(f.max_requests_per_client >= 0, "--max-requests-per-client", f.max_requests_per_client,
          "0 (no limit) or more");
  require(f.max_sequences_per_client >= 0, "--max-sequences-per-client", f.max_sequences_per_client,
          "0 (no limit) or more");
  require(f.max_tokens_per_client >= 0, "--max-tokens-per-client", f.max_tokens_per_client,
          "0 (no limit) or more");
  require(f.max_connections >= 1, "--max-connections", f.max_connections, "at least 1");
  require(f.max_request_mb >= 1 && f.max_request_mb <= 1024, "--max-request-mb", f.max_request_mb,
          "1 to 1024");
  require(f.graceful_timeout >= 0, "--timeout-graceful-shutdown", f.graceful_timeout,
          "0 (no limit) or more seconds");
  out.server.host = f.host;
  out.server.port = static_cast<uint16_t>(f.port);
  out.server.max_concurrency = f.max_concurrency;
  out.server.max_requests_per_client = f.max_requests_per_client;
  out.service.max_sequences_per_client = static_cast<size_t>(f.max_sequences_per_client);
  out.service.max_tokens_per_client = static_cast<size_t>(f.max_tokens_per_client);
  out.server.max_connections = f.max_connections;
  out.server.limits.max_body_bytes = static_cast<size_t>(f.max_request_mb) << 20;
  const int inflight_mb =
      f.max_inflight_mb.value_or(std::max(kInflightMb, kInflightPerRequest * f.max_request_mb));
  require(inflight_mb >= kInflightPerRequest * f.max_request_mb && inflight_mb <= kMaxInflightMb,
          "--max-inflight-mb", inflight_mb,
          fmt::format("{} (8 x --max-request-mb) to {}", kInflightPerRequest * f.max_request_mb,
                      kMaxInflightMb)
              .c_str());
  out.server.memory = RequestMemory(static_cast<size_t>(inflight_mb) << 20);
  out.service.memory = out.server.memory;
  require(f.max_grammar_mb >= 64 && f.max_grammar_mb <= kMaxInflightMb, "--max-grammar-mb",
          f.max_grammar_mb, fmt::format("64 to {}", kMaxInflightMb).c_str());
  out.service.grammar_bytes = static_cast<size_t>(f.max_grammar_mb) << 20;
  out.server.api_keys = f.api_keys;
  std::istringstream more(environment("FD_API_KEY").value_or(""));
  for (std::string key; std::getline(more, key, ',');)
    if (!key.empty()) out.server.api_keys.push_back(key);
  read_api_keys(f.api_key_file, out.server.api_keys);
  for (const std::string& key : out.server.api_keys)
    if (key.empty()) throw StartError("--api-key is empty; give a key or leave the flag out");
  out.cache_salt_by_key = f.cache_salt_by_key;
  if (out.cache_salt_by_key && out.server.api_keys.empty())
    throw StartError("--cache-salt-by-key needs --api-key or --api-key-file");
  out.graceful_timeout = std::chrono::seconds(f.graceful_timeout);
  out.web = !f.no_web && !web_files().empty();
  if (f.metrics_port && *f.metrics_port != f.port) {
    require(*f.metrics_port >= 0 && *f.metrics_port <= 65535, "--metrics-port", *f.metrics_port,
            "0 to 65535");
    out.metrics_port = static_cast<uint16_t>(*f.metrics_port);
  }
}

void fill_batch_budget(const ServeFlags& f, engine::EngineConfig& engine) {
  const int64_t most = int64_t{f.max_model_len} * f.max_num_seqs;
  if (!f.max_num_batched_tokens) {
    engine.max_num_batched_tokens = static_cast<int>(std::min<int64_t>(
        engine.enable_chunked_prefill ? 8192 : std::max(8192, f.max_model_len), most));
    return;
  }
  const int tokens = *f.max_num_batched_tokens;
  const std::string flag = "--max-num-batched-tokens";
  require(tokens >= f.max_num_seqs, flag, tokens,
          fmt::format("at least --max-num-seqs ({})", f.max_num_seqs).c_str());
  require(tokens <= most, flag, tokens,
          fmt::format("at most --max-model-len x --max-num-seqs ({})", most).c_str());
  if (engine.enable_chunked_prefill)
    require(tokens >= f.block_size, flag, tokens,
            fmt::format("at least --block-size ({})", f.block_size).c_str());
  else
    require(tokens >= f.max_model_len, flag, tokens,
            fmt::format("at least --max-model-len ({}) without chunked prefill", f.max_model_len)
                .c_str());
  engine.max_num_batched_tokens = tokens;
}

// A smaller cache than a step's pictures would give up what the step has just encoded.
void fill_encoder_cache(const ServeFlags& f, ServeOptions& out) {
  require(f.max_encoder_cache >= -1, "--max-encoder-cache", f.max_encoder_cache,
          "-1 (planned), 0 (off) or a number of tokens");
  const int least = out.engine.max_num_batched_tokens;
  out.engine.max_encoder_cache = f.max_encoder_cache;
  if (f.max_encoder_cache <= 0 || f.max_encoder_cache >= least) return;
  out.engine.max_encoder_cache = least;
  out.notes.push_back(fmt::format("--max-encoder-cache {} is raised to --max-num-batched-tokens {}",
                                  f.max_encoder_cache, least));
}

// FastDeploy's sampling classes draw from one distribution; the one sampler here needs no choice.
void check_sampling_class(const Environment& environment) {
  const std::string name = environment("FD_SAMPLING_CLASS").value_or("rejection");
  require(name == "base" || name == "base_non_truncated" || name == "air" || name == "rejection",
          "FD_SAMPLING_CLASS", name, "base, base_non_truncated, air or rejection");
}

void fill_engine(const ServeFlags& f, const Environment& environment, ServeOptions& out) {
  require(f.max_model_len >= 16, "--max-model-len", f.max_model_len, "at least 16");
  require(f.max_num_seqs >= 1 && f.max_num_seqs <= 256, "--max-num-seqs", f.max_num_seqs,
          "1 to 256");
  require(f.block_size >= 1 && f.block_size <= 1024, "--block-size", f.block_size, "1 to 1024");
  require(f.tensor_parallel_size >= 1, "--tensor-parallel-size", f.tensor_parallel_size,
          "at least 1");
  require(f.cpu_threads >= 0 && f.cpu_threads <= 1024, "--cpu-threads", f.cpu_threads,
          "0 (one per core) to 1024");
  require(f.gpu_memory_utilization > 0 && f.gpu_memory_utilization <= 1, "--gpu-memory-utilization",
          f.gpu_memory_utilization, "above 0 and at most 1");
  require(f.num_gpu_blocks_override >= 0, "--num-gpu-blocks-override", f.num_gpu_blocks_override,
          "at least 1");
  require(f.scheduler_max_size == -1 || f.scheduler_max_size >= 1, "--scheduler-max-size",
          f.scheduler_max_size, "-1 or at least 1");
  engine::EngineConfig& engine = out.engine;
  const std::string load = lowercase(f.load_choices);
  require(load == "default" || load == "default_v1" || load == "dummy", "--load-choices",
          f.load_choices, "default_v1, default or dummy");
  engine.load_choice = load == "dummy" ? model::LoadChoice::kDummy : model::LoadChoice::kCheckpoint;
  engine.dtype = parse_dtype(f.dtype);
  const QuantizationFlag formats = parse_quantization_flag(f.quantization);
  engine.quantization = formats.weights;
  engine.kv_cache = kv_cache_type(f, engine.dtype, formats);
  engine.tensor_parallel_size = f.tensor_parallel_size;
  engine.max_model_len = f.max_model_len;
  engine.max_num_seqs = f.max_num_seqs;
  engine.block_size = f.block_size;
  engine.enable_prefix_caching = f.prefix_caching;
  engine.enable_chunked_prefill =
      f.chunked_prefill && environment("FD_DISABLE_CHUNKED_PREFILL").value_or("0") != "1";
  engine.disable_chunked_mm_input = f.disable_chunked_mm_input;
  engine.check_invariants = f.check_invariants;
  engine.gpu_memory_utilization = f.gpu_memory_utilization;
  engine.num_gpu_blocks_override = f.num_gpu_blocks_override;
  parse_graph_config(f.graph_optimization_config, engine, out.notes);
  if (f.scheduler_max_size > 0) engine.max_waiting_requests = f.scheduler_max_size;
  engine.seed = f.seed;
  check_sampling_class(environment);
  fill_batch_budget(f, engine);
  fill_encoder_cache(f, out);
  out.device = lowercase(f.device);
  require(out.device == "auto" || out.device == "cpu" || out.device == "cuda", "--device", f.device,
          "auto, cpu or cuda");
  out.cpu_threads = f.cpu_threads;
}

void fill_parsers(const ServeFlags& f, ServeOptions& out) {
  text::AnswerSyntax& syntax = out.service.syntax;
  Status known;
  if (!f.reasoning_parser.empty()) {
    known = text::set_reasoning_parser(f.reasoning_parser, "--reasoning-parser", syntax);
  }
  if (known && !f.tool_call_parser.empty()) {
    known = text::set_tool_parser(f.tool_call_parser, "--tool-call-parser", syntax);
  }
  if (!known) throw StartError(known.error().message);
  out.tool_call_parser = f.tool_call_parser;
}

void fill_requests(const ServeFlags& f, ServeOptions& out) {
  const MediaCounts counts = parse_media_limits(f.limit_mm_per_prompt);
  out.service.max_images_per_prompt = counts.images;
  out.service.max_videos_per_prompt = counts.videos;
  out.service.decoder_threads =
      std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 2, 16);
  out.engine.text_only = counts.images == 0 && counts.videos == 0;
  out.picture_limits = parse_processor_kwargs(f.mm_processor_kwargs);

  require(
      f.max_processor_cache == -1 || (f.max_processor_cache >= 0 && f.max_processor_cache <= 1024),
      "--max-processor-cache", f.max_processor_cache, "-1 (0.25), 0 (off) or up to 1024 GiB");
  // By default 16 pictures of the default limit, 14.5 MB each, as the encoder cache.
  const double gib = f.max_processor_cache == -1 ? 0.25 : f.max_processor_cache;
  out.media_cache_bytes = static_cast<size_t>(gib * (size_t{1} << 30));

  require(f.max_logprobs >= -1, "--max-logprobs", f.max_logprobs, "-1 (the vocabulary) or more");
  out.service.max_logprobs = f.max_logprobs < 0 ? std::numeric_limits<int>::max() : f.max_logprobs;
  // No time at all would refuse every request; 1e9 seconds still fit into a point of time in
  // nanoseconds.
  require(f.max_waiting_time == -1 || (f.max_waiting_time >= 0.001 && f.max_waiting_time <= 1e9),
          "--max-waiting-time", f.max_waiting_time, "-1 (no limit) or 0.001 to 1000000000 seconds");
  if (f.max_waiting_time > 0)
    out.service.max_waiting_time =
        std::chrono::milliseconds(static_cast<int64_t>(f.max_waiting_time * 1000));
  fill_parsers(f, out);
  out.service.fetch.allow_private_media = f.allow_private_media;
  if (!f.allowed_local_media_path.empty())
    require(std::filesystem::is_directory(f.allowed_local_media_path), "--allowed-local-media-path",
            f.allowed_local_media_path, "a folder");
  out.service.fetch.allowed_local_media_path = f.allowed_local_media_path;
}

// A path would tell clients about the server's disk; a hub name is public.
std::string shown_name(const std::string& model) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(model, ignored)) return model;
  const auto path = std::filesystem::absolute(model).lexically_normal();
  const auto name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return name.empty() ? "model" : name.string();
}

std::string config_path(const std::vector<std::string>& args) {
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i].rfind("--config=", 0) == 0) return args[i].substr(9);
    if (args[i] == "--config" && i + 1 < args.size()) return args[i + 1];
  }
  return {};
}

}  // namespace

ServeOptions parse_serve_options(std::vector<std::string> args, const Environment& environment) {
  ServeFlags flags;
  CLI::App app;
  app.set_help_flag();
  add_serve_flags(app, flags);
  const auto refuse_unsupported = [](const std::string& name) {
    if (const char* reason = unsupported_flag(name))
      throw StartError("--" + name + " of FastDeploy is not supported here: " + reason);
  };

  args = normalize(std::move(args));
  for (const std::string& arg : args) refuse_unsupported(flag_name(arg));
  if (const std::string path = config_path(args); !path.empty()) {
    const auto is_flag = [&](const std::string& name) {
      refuse_unsupported(name);
      return app.get_option_no_throw("--" + name) != nullptr;
    };
    std::vector<std::string> all = read_config_file(path, args, is_flag);
    all.insert(all.end(), args.begin(), args.end());
    args = std::move(all);
  }
  parse_arguments(app, std::move(args), "serve");

  if (flags.model.empty())
    throw StartError("no model: say which with --model FOLDER (or a hub name)");
  if (!flags.tokenizer.empty() && flags.tokenizer != flags.model)
    throw StartError("--tokenizer is " + flags.tokenizer +
                     "; it must be the model's own, so leave it out");
  ServeOptions options = check_serve_flags(flags, environment);
  options.shown_flags = shown_flags(app);
  return options;
}

ServeOptions check_serve_flags(const ServeFlags& flags, const Environment& environment) {
  ServeOptions out;
  out.model = flags.model;
  out.check_model_name = !flags.served_model_name.empty();
  out.served_model_name = out.check_model_name ? flags.served_model_name : shown_name(flags.model);
  out.chat_template = read_template(flags.chat_template);
  out.notes = flags.notes;
  fill_server(flags, environment, out);
  fill_engine(flags, environment, out);
  fill_requests(flags, out);
  return out;
}

std::string serve_help() {
  ServeFlags flags;
  CLI::App app("Serve a model over HTTP, OpenAI-compatible.\n", "ernie serve");
  add_serve_flags(app, flags);
  app.get_formatter()->column_width(38);
  return app.help();
}

}  // namespace ernie::app
