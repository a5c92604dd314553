#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace ernie::obs {

// One finished request (one choice). Durations in seconds; negative: that phase never came.
struct RequestTimings {
  double queue_s = -1;        // arrival to first scheduling
  double first_token_s = -1;  // arrival to first token
  double prefill_s = -1;      // first scheduling to first token
  double decode_s = -1;       // first token to the end
  double e2e_s = -1;          // arrival to the end
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int generated_tokens = 0;
  int max_tokens = 0;
  bool success = false;  // ended with "stop" or "length"
};

// The engine's state at one moment. Totals count from the start of the process.
struct EngineGauges {
  int running = 0;
  int waiting = 0;
  int max_batch_size = 0;
  int total_blocks = 0;
  int free_blocks = 0;       // hold nothing
  int available_blocks = 0;  // free, or held by the prefix cache only
  uint64_t preemptions = 0;
  uint64_t encoder_cache_queries = 0;  // pictures, or pairs of video frames, that steps needed
  uint64_t encoder_cache_hits = 0;     // of these, those that were not encoded
};

// Prometheus metrics under FastDeploy's names ("fastdeploy:..."), so that its dashboards work.
// Counters carry the suffix _total on the wire, as FastDeploy's Python client adds it. Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  void record_finished(const RequestTimings& timings);
  void set_engine(const EngineGauges& gauges);
  void set_dropped_log_lines(uint64_t total);
  void set_cache_config(const std::map<std::string, std::string>& labels);  // once
  // `path` must be the path of a route or a constant: every new value makes new series.
  void record_http(std::string_view method, std::string_view path, int status, double seconds);

  std::string render() const;  // Prometheus text format 0.0.4

  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ernie::obs
