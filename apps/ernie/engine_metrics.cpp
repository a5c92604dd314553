#include "engine_metrics.h"

#include <chrono>

namespace ernie::app {
namespace {

using engine::Clock;

// Seconds between two moments; -1 when either did not happen.
double seconds(Clock::time_point from, Clock::time_point to) {
  const Clock::time_point never{};
  return from == never || to == never ? -1 : std::chrono::duration<double>(to - from).count();
}

}  // namespace

obs::RequestTimings to_timings(const serve::RequestRecord& record) {
  const engine::RequestStats& s = record.stats;
  return {.queue_s = seconds(s.arrival, s.scheduled),
          .first_token_s = seconds(s.arrival, s.first_token),
          .prefill_s = seconds(s.scheduled, s.first_token),
          .decode_s = seconds(s.first_token, s.finished),
          .e2e_s = seconds(s.arrival, s.finished),
          .prompt_tokens = s.prompt_tokens,
          .cached_tokens = s.cached_tokens,
          .generated_tokens = s.generated_tokens,
          .max_tokens = record.max_tokens,
          .success = record.finish_reason == "stop" || record.finish_reason == "length"};
}

obs::EngineGauges to_gauges(const engine::EngineStats& stats, const engine::EngineConfig& config) {
  return {.running = stats.running,
          .waiting = stats.waiting,
          .max_batch_size = config.max_num_seqs,
          .total_blocks = stats.total_blocks,
          .free_blocks = stats.free_blocks,
          .available_blocks = stats.available_blocks,
          .preemptions = stats.preemptions,
          .encoder_cache_queries = stats.encoder_cache_queries,
          .encoder_cache_hits = stats.encoder_cache_hits};
}

std::map<std::string, std::string> cache_labels(const engine::Engine& engine) {
  const engine::EngineConfig& config = engine.config();
  return {{"block_size", std::to_string(config.block_size)},
          {"cache_dtype", kv_type_name(config.kv_type())},
          {"gpu_memory_utilization", std::to_string(config.gpu_memory_utilization)},
          {"num_gpu_blocks", std::to_string(engine.memory().num_blocks)},
          {"max_encoder_cache", std::to_string(engine.memory().encoder_cache_tokens)},
          {"enable_prefix_caching", config.enable_prefix_caching ? "True" : "False"}};
}

}  // namespace ernie::app
