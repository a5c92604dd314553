#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/client_id.h"
#include "base/result.h"
#include "comm/communicator.h"
#include "engine/sampling_params.h"
#include "model/config.h"
#include "model/model.h"
#include "model/prompt.h"
#include "ops/backend.h"
#include "tensor/kv_type.h"

namespace ernie::engine {

using Clock = std::chrono::steady_clock;

// What takes longer is treated as a device fault. 0: no limit, as on a CPU, where none can be named
// in advance.
struct StepTimeLimits {
  std::chrono::milliseconds step{0};   // the oldest step in flight
  std::chrono::milliseconds token{0};  // and for each token that it computes
  std::chrono::milliseconds rank{0};   // one rank waits for another
};

struct EngineConfig {
  std::string model_dir;
  model::LoadChoice load_choice = model::LoadChoice::kCheckpoint;
  DType dtype = DType::kBF16;                       // of activations
  std::optional<KvType> kv_cache;                   // none: as activations
  std::optional<model::Quantization> quantization;  // nothing: as the weights are stored
  bool text_only = false;  // no picture will come: what only they need is not loaded
  int tensor_parallel_size = 1;
  int max_model_len = 2048;
  int max_num_seqs = 8;
  int max_num_batched_tokens = 8192;
  int block_size = 64;
  bool enable_prefix_caching = true;
  bool enable_chunked_prefill = true;
  bool disable_chunked_mm_input = false;
  bool check_invariants = false;        // of the scheduler's books, after each step; aborts
  double gpu_memory_utilization = 0.9;  // on the CPU: the share of free RAM that may be used
  int num_gpu_blocks_override = 0;      // 0 = plan from memory
  int max_waiting_requests = 1024;      // a fuller queue refuses with kRateLimited (FairLimiter)
  int max_media_tokens = 6177;          // of the largest allowed unit
  int max_encoder_cache = -1;           // tokens of pictures kept encoded; 0 = none, -1 = plan
  uint64_t seed = 0;                    // of dummy weights
  int steps_in_flight = 1;  // 2: the next step is planned and queued while the device runs one
  // That say at once how tokens are drawn that depend on the step before, the engine's thread among
  // them; there are none with one step in flight.
  int late_threads = 1;
  bool use_graphs = true;  // where the backend has them
  int max_graph_seqs = 0;  // 0: max_num_seqs, at most 256
  StepTimeLimits time_limits;
  // Called once after a fault of a device or of the engine itself, when every open request got its
  // error event, from the engine's output thread. The process cannot recover and should exit with
  // an error.
  std::function<void(const std::string& reason)> on_fatal;
  std::function<void(size_t done_bytes, size_t total_bytes)> on_load_progress;
  std::function<void(int done, int total)> on_capture_progress;  // graphs of rank 0

  KvType kv_type() const { return kv_cache.value_or(kv_type_of(dtype)); }
};

enum class FinishReason { kStop, kLength, kCancelled, kError };

struct TokenEvent {
  int32_t token = 0;
  float logprob = 0;  // when logprobs were asked for
  std::vector<ops::TokenLogprob> top;
  bool is_stop = false;  // this token ended the sequence and is no part of the text
};

struct PromptToken {
  int32_t token = 0;
  // Of the model's own distribution. None: the first, and placeholders of pictures.
  std::optional<float> logprob;
  int32_t rank = 0;  // among all tokens, from 1; with the logprob
  std::vector<ops::TokenLogprob> top;
};

// The prompt's next tokens.
struct PromptEvent {
  std::vector<PromptToken> tokens;
};

// What happened to a request, known when it ends.
struct RequestStats {
  Clock::time_point arrival, scheduled, first_token, finished;  // epoch when it did not happen
  int prompt_tokens = 0;
  int cached_tokens = 0;     // prompt tokens taken from the prefix cache
  int generated_tokens = 0;  // with the one that stopped it
  int preemptions = 0;
};

// Receives what one request produces. All calls come from the engine's output thread, in order;
// on_finish comes exactly once, last. Calls must not block; what they throw is logged.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Every token of the prompt once, before the first on_token(), if they were asked for.
  virtual void on_prompt(const PromptEvent&) {}
  virtual void on_token(const TokenEvent& event) = 0;
  // `error` is set exactly when reason is kError.
  virtual void on_finish(FinishReason reason, const RequestStats& stats,
                         const std::optional<Error>& error) = 0;
};

// Of a request past its deadline.
inline Error deadline_exceeded() {
  return {ErrorKind::kTimeout,
          "the request did not finish before its deadline",
          {},
          "deadline_exceeded"};
}

using OnPrompt = std::function<void(std::shared_ptr<const model::Prompt>)>;

struct GenerationRequest {
  std::string id;
  std::shared_ptr<const model::Prompt> prompt;
  SamplingParams sampling;
  ClientId client = 0;                        // clients take turns
  std::optional<Clock::time_point> deadline;  // past it the request ends with kTimeout
  std::optional<Clock::time_point>
      queue_deadline;  // past it a request never scheduled ends with kTimeout
  // For a prompt of which some units lack their pixels: soon calls back, on any thread, with the
  // same prompt and all pixels. The engine asks when it needs features that no cache has, at most
  // once; until then no step computes the request. If there are no pixels the caller cancels the
  // request. Must neither block nor throw.
  std::function<void(OnPrompt)> decode_media;
  std::shared_ptr<EventSink> sink;
};

using RequestHandle = uint64_t;

// A consistent snapshot for metrics and health.
struct EngineStats {
  bool healthy = true;  // false after a fault
  int running = 0;
  int waiting = 0;
  int total_blocks = 0;
  int free_blocks = 0;       // never used, or freed without content
  int available_blocks = 0;  // free plus those only the prefix cache holds
  uint64_t preemptions = 0;
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t generated_tokens = 0;
  uint64_t encoder_cache_queries = 0;  // pictures, or pairs of video frames, that steps needed
  uint64_t encoder_cache_hits = 0;     // of these, those that were not encoded
  Clock::time_point last_step;
};

// The memory plan made before weights are read.
struct MemoryReport {
  size_t device_total_bytes = 0;
  size_t budget_bytes = 0;
  size_t weight_bytes = 0;
  size_t workspace_bytes = 0;
  size_t kv_bytes = 0;
  size_t encoder_cache_bytes = 0;
  KvType kv_type = KvType::kBF16;
  size_t block_bytes = 0;  // of one key-value block
  int num_blocks = 0;
  int encoder_cache_tokens = 0;
  std::string to_string() const;
};

using BackendFactory = std::function<std::unique_ptr<ops::Backend>(int rank)>;

// Continuous batching over one model. submit(), cancel() and stats() may be called from any thread.
class Engine {
 public:
  // Makes the communicators, then a backend on each rank's thread, plans memory with what is free
  // then, loads the model on every rank and starts serving. Throws StartError.
  static std::unique_ptr<Engine> start(
      const model::ModelConfig& model_config, const EngineConfig& config,
      const BackendFactory& make_backend,
      const CommunicatorFactory& make_communicators = make_host_communicators);
  virtual ~Engine() = default;  // cancels what is left and joins the threads

  // Queues a request. Errors: prompt too long (kInvalidArgument, context_length_exceeded, with both
  // numbers), queue full (kRateLimited), draining or dead (kUnavailable).
  virtual Result<RequestHandle> submit(GenerationRequest request) = 0;

  // Ends a request soon, wherever it is; unknown handles are ignored. Its sink gets kCancelled.
  virtual void cancel(RequestHandle handle) = 0;

  // The same for all requests that are there now.
  virtual void cancel_all() = 0;

  // Refuses new requests from now on; true when all others finished within the limit.
  virtual bool drain(std::chrono::milliseconds limit) = 0;

  virtual EngineStats stats() const = 0;
  virtual const MemoryReport& memory() const = 0;
  virtual const EngineConfig& config() const = 0;
  // What a request may ask of the sampler at most; the caller refuses what exceeds it.
  virtual ops::SamplerLimits sampler_limits() const = 0;
};

}  // namespace ernie::engine
