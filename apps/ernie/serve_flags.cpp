#include "serve_flags.h"

#include "arguments.h"

namespace ernie::app {
namespace {

struct AcceptedFlag {
  const char* name;
  bool has_value;
  const char* reason;
};

// Flags of FastDeploy that have a meaning there and none here. They are taken, so that launch lines
// can be kept, and reported.
constexpr AcceptedFlag kAccepted[] = {
    {"--engine-worker-queue-port", true, "the engine runs inside the server process"},
    {"--cache-queue-port", true, "the cache runs inside the server process"},
    {"--enable-mm", false, "whether a model takes pictures is read from its configuration"},
    {"--workers", true, "one process serves all connections"},
    {"--timeout", true, "there are no worker processes to watch"},
    {"--enable-logprob", false, "log-probabilities can always be asked for"},
    {"--kv-cache-ratio", true, "prompts and answers share all blocks"},
    {"--static-decode-blocks", true, "blocks are given out as sequences grow"},
    {"--prealloc-dec-block-slot-num-threshold", true, "blocks are given out as sequences grow"},
    {"--enable-overlap-schedule", false, "planning always overlaps with the device"},
    {"--use-cudagraph", false, "CUDA graphs are used wherever the device has them"},
    {"--disable-custom-all-reduce", false, "ranks are threads of one process"},
    {"--max-num-partial-prefills", true, "the token budget alone bounds prefills"},
    {"--max-long-partial-prefills", true, "the token budget alone bounds prefills"},
    {"--long-prefill-token-threshold", true, "the token budget alone bounds prefills"},
    {"--use-warmup", true, "the engine always warms up"},
    {"--trust-remote-code", false, "no code of a model folder is ever run"},
    {"--distributed-executor-backend", true, "ranks are threads of one process"},
};

constexpr const char* kAcceptedGroup = "Accepted for FastDeploy's launch lines, not needed";

struct RefusedFlag {
  const char* name;
  const char* reason;
};

constexpr RefusedFlag kRefused[] = {
    {"speculative-config", "speculative decoding is not implemented; leave it out"},
    {"guided-decoding-backend", "structured output is not implemented; leave it out"},
    {"tool-parser-plugin", "plugins are not supported; leave it out"},
    {"logits-processors", "plugins are not supported; use logit_bias in requests"},
    {"enable-early-stop", "stopping on repetition is not implemented; use max_tokens in requests"},
    {"early-stop-config", "stopping on repetition is not implemented; use max_tokens in requests"},
    {"data-parallel-size", "one engine runs in one process; start more servers behind a proxy"},
    {"enable-expert-parallel", "experts are split by --tensor-parallel-size only"},
    {"enable-eplb", "experts are split by --tensor-parallel-size only"},
    {"ips", "one server runs on one machine; leave it out"},
    {"splitwise-role", "prefill and decoding run in one engine; leave it out"},
    {"router", "there is no router; put an HTTP proxy in front"},
    {"scheduler-name", "the scheduler is the local one; leave it out"},
    {"scheduler-host", "the scheduler is the local one; leave it out"},
    {"swap-space", "the cache has one tier; raise --gpu-memory-utilization instead"},
    {"kvcache-storage-backend", "the cache has one tier; leave it out"},
    {"plas-attention-config", "sparse attention is not implemented; leave it out"},
    {"dynamic-load-weight", "weights cannot be changed while running; restart the server"},
    {"load-strategy", "weights cannot be changed while running; restart the server"},
    {"controller-port", "there is no control server; leave it out"},
    {"revision", "nothing is downloaded; give --model the folder of that revision"},
    {"task", "only generation is served; leave it out"},
    {"runner", "only generation is served; leave it out"},
    {"logprobs-mode", "log-probabilities are those of the raw logits; leave it out"},
    {"model-impl", "there is one implementation of each model; leave it out"},
};

void add_model_flags(CLI::App& app, ServeFlags& f) {
  const char* group = "Model";
  app.add_option("model,--model", f.model,
                 "Checkpoint folder, or a hub name that is in a local cache")
      ->group(group);
  app.add_option(
         "--served-model-name", f.served_model_name,
         "Name of the model in the API, which requests must use then; without it, the last\n"
         "part of the folder's path or the hub name, and requests may name any model")
      ->group(group);
  app.add_option("--tokenizer", f.tokenizer, "Must be the model's own; may be left out")
      ->group(group);
  app.add_option("--dtype", f.dtype, "bfloat16 or float32")->group(group)->capture_default_str();
  app.add_option(
         "--quantization", f.quantization,
         "Weights in bf16, wint8, wint4 (routed experts; int8 elsewhere), wint4-g128, wint4-g64,\n"
         "wint4-g32, or a JSON object with dense_quant_type, moe_quant_type,\n"
         "image_moe_quant_type and kv_cache_quant_type")
      ->group(group);
  app.add_option("--kv-cache-dtype", f.kv_cache_dtype,
                 "Keys and values in bfloat16, int8 or fp8 (e4m3); 8 bits hold twice the tokens;\n"
                 "auto: as --dtype")
      ->group(group)
      ->capture_default_str();
  app.add_option("--load-choices", f.load_choices,
                 "default_v1 or default: read the checkpoint; dummy: weights from --seed")
      ->group(group)
      ->capture_default_str();
  app.add_option("--chat-template", f.chat_template, "Jinja chat template: a file or its text")
      ->group(group);
  app.add_option("--reasoning-parser", f.reasoning_parser,
                 "ernie-45-vl, ernie-45-vl-thinking or ernie-x1: give reasoning and answer apart")
      ->group(group);
  app.add_option("--tool-call-parser", f.tool_call_parser,
                 "ernie-45-vl-thinking, ernie-x1 or ernie-45: how the model writes tool calls;\n"
                 "by default as its chat template shows")
      ->group(group);
  app.add_option("--seed", f.seed, "Of dummy weights")
      ->group(group)
      ->capture_default_str()
      ->check(check_uint64, "");
}

void add_server_flags(CLI::App& app, ServeFlags& f) {
  const char* group = "Server";
  app.add_option(
         "--host", f.host,
         "Address to listen on; 0.0.0.0 for all (FastDeploy's default), best with --api-key")
      ->group(group)
      ->capture_default_str();
  app.add_option("--port", f.port, "Port of the API; 0 takes a free one")
      ->group(group)
      ->capture_default_str();
  app.add_option("--metrics-port", f.metrics_port,
                 "Port of /metrics, if not that of the API; it has /health and /dashboard too")
      ->group(group);
  app.add_flag("--no-web", f.no_web, "Serve no chat page at / and no /dashboard")->group(group);
  app.add_option("--api-key", f.api_keys,
                 "Key that requests must carry; may be repeated; also FD_API_KEY=k1,k2")
      ->group(group)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--api-key-file", f.api_key_file,
                 "File of keys, one on each line, so that no list of processes shows them")
      ->group(group);
  app.add_flag("--cache-salt-by-key", f.cache_salt_by_key,
               "Requests find in the caches what their own key left there only")
      ->group(group);
  app.add_option("--max-concurrency", f.max_concurrency,
                 "Requests at once; more get 429 from clients that have their equal share")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-requests-per-client", f.max_requests_per_client,
                 "Requests at once of one key, or of one address without keys; more get 429;\n"
                 "0: no limit")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-sequences-per-client", f.max_sequences_per_client,
                 "The same of sequences: prompts x n")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-tokens-per-client", f.max_tokens_per_client,
                 "The same of tokens: prompts, and max_tokens of each sequence")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-connections", f.max_connections, "Open connections at once")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-request-mb", f.max_request_mb, "Largest request body, in MiB")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-inflight-mb", f.max_inflight_mb,
                 "Memory of all requests under way together, in MiB; more get 429 (default 2048)")
      ->group(group);
  app.add_option(
         "--max-grammar-mb", f.max_grammar_mb,
         "Memory of all compiled grammars together, in MiB: in use, being compiled and kept")
      ->group(group)
      ->capture_default_str();
  app.add_option("--timeout-graceful-shutdown", f.graceful_timeout,
                 "Seconds that running requests get after SIGTERM; 0: no limit")
      ->group(group)
      ->capture_default_str();
}

void add_capacity_flags(CLI::App& app, ServeFlags& f) {
  const char* group = "Capacity";
  app.add_option("--max-model-len", f.max_model_len, "Most tokens of prompt and answer together")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-num-seqs", f.max_num_seqs, "Sequences computed at once, 1 to 256")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-num-batched-tokens", f.max_num_batched_tokens,
                 "Tokens of one step, rounded up to whole pictures (default 8192)")
      ->group(group);
  app.add_option("-t,--tensor-parallel-size", f.tensor_parallel_size,
                 "Ranks that share the model (-tp for short)")
      ->group(group)
      ->capture_default_str();
  app.add_option("--device", f.device, "cpu, cuda, or auto: cuda when there is a GPU, else cpu")
      ->group(group)
      ->capture_default_str();
  app.add_option("--cpu-threads", f.cpu_threads, "Threads of all ranks together; 0: one per core")
      ->group(group)
      ->capture_default_str();
  app.add_option("--gpu-memory-utilization", f.gpu_memory_utilization,
                 "Share of free memory that may be used; on the CPU: of RAM")
      ->group(group)
      ->capture_default_str();
  app.add_option("--num-gpu-blocks-override", f.num_gpu_blocks_override,
                 "KV blocks, instead of as many as fit")
      ->group(group);
  app.add_option("--block-size", f.block_size, "Tokens of one KV block")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-encoder-cache", f.max_encoder_cache,
                 "Tokens of pictures kept encoded, at least those of one step; 0: none; -1: 16 of "
                 "the largest pictures, in 5 % of spare memory at most")
      ->group(group)
      ->capture_default_str();
  app.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching", f.prefix_caching,
               "Reuse the cache of equal prompt beginnings (on)")
      ->group(group);
  app.add_flag("--enable-chunked-prefill,!--no-enable-chunked-prefill", f.chunked_prefill,
               "Compute long prompts in pieces (on; FD_DISABLE_CHUNKED_PREFILL=1 turns it off)")
      ->group(group);
  app.add_flag("--disable-chunked-mm-input", f.disable_chunked_mm_input,
               "Never let a cache hit end inside a picture")
      ->group(group);
  app.add_flag(
         "--check-invariants", f.check_invariants,
         "Check the scheduler's books after each step and abort when they are wrong; for tests")
      ->group(group);
  app.add_option("--graph-optimization-config", f.graph_optimization_config,
                 R"(JSON, CUDA graphs: {"use_cudagraph": false} turns them off)")
      ->group(group);
  app.add_option("--max-waiting-time", f.max_waiting_time,
                 "Seconds a request may wait in the queue; -1: no limit")
      ->group(group)
      ->capture_default_str();
  app.add_option(
         "--scheduler-max-size", f.scheduler_max_size,
         "Sequences that may wait in the queue, of each client an equal share at least; -1: 1024")
      ->group(group)
      ->capture_default_str();
}

void add_request_flags(CLI::App& app, ServeFlags& f) {
  const char* group = "Requests";
  app.add_option("--limit-mm-per-prompt", f.limit_mm_per_prompt,
                 R"(JSON, most media of a request (default {"image": 1, "video": 1}))")
      ->group(group);
  app.add_option("--mm-processor-kwargs", f.mm_processor_kwargs,
                 R"(JSON, sizes that media are scaled to, as {"image_max_pixels": 1003520})")
      ->group(group);
  app.add_option("--max-processor-cache", f.max_processor_cache,
                 "GiB of RAM for decoded pictures; 0: none; -1: a quarter")
      ->group(group)
      ->capture_default_str();
  app.add_flag("--allow-private-media", f.allow_private_media,
               "Fetch pictures from private addresses and any port too")
      ->group(group);
  app.add_option("--allowed-local-media-path", f.allowed_local_media_path,
                 "Folder that file:// URLs of requests may read")
      ->group(group);
  app.add_option("--max-logprobs", f.max_logprobs, "Most top_logprobs; -1: what the device gives")
      ->group(group)
      ->capture_default_str();
}

}  // namespace

void add_serve_flags(CLI::App& app, ServeFlags& flags) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--config", flags.config, "YAML file of flags; the command line wins");
  add_model_flags(app, flags);
  add_server_flags(app, flags);
  add_capacity_flags(app, flags);
  add_request_flags(app, flags);
  for (const AcceptedFlag& accepted : kAccepted) {
    const auto note = [&flags, accepted] {
      flags.notes.push_back(std::string(accepted.name) + " is not needed: " + accepted.reason);
    };
    CLI::Option* option = accepted.has_value
                              ? app.add_option_function<std::string>(
                                    accepted.name, [note](const std::string&) { note(); })
                              : app.add_flag_callback(accepted.name, note);
    option->description(accepted.reason)->group(kAcceptedGroup);
  }
}

bool is_without_effect(const CLI::Option& flag) { return flag.get_group() == kAcceptedGroup; }

const char* unsupported_flag(const std::string& name) {
  for (const RefusedFlag& refused : kRefused)
    if (name == refused.name) return refused.reason;
  return nullptr;
}

}  // namespace ernie::app
