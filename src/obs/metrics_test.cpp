#include "obs/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace ernie::obs {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t count_lines(const std::string& text) {
  std::istringstream lines(text);
  size_t n = 0;
  for (std::string line; std::getline(lines, line);) ++n;
  return n;
}

RequestTimings finished_request() {
  return {.queue_s = 0.5,
          .first_token_s = 2,
          .prefill_s = 1.5,
          .decode_s = 0.8,
          .e2e_s = 2.8,
          .prompt_tokens = 100,
          .cached_tokens = 64,
          .generated_tokens = 9,
          .max_tokens = 16,
          .success = true};
}

// Without it, dashboards made for FastDeploy could find no series, or of another type.
TEST(Metrics, CarryFastDeploysNamesAndTypes) {
  Metrics metrics;
  const std::string text = metrics.render();
  for (const char* gauge :
       {"num_requests_running", "num_requests_waiting", "gpu_cache_usage_perc", "batch_size",
        "max_batch_size", "available_batch_size", "max_gpu_block_num", "available_gpu_block_num",
        "free_gpu_block_num", "available_gpu_resource", "first_token_latency", "infer_latency",
        "hit_req_rate", "hit_token_rate", "gpu_hit_token_rate"})
    EXPECT_THAT(text, HasSubstr("# TYPE fastdeploy:" + std::string(gauge) + " gauge\n"));
  for (const char* histogram :
       {"time_to_first_token_seconds", "time_per_output_token_seconds",
        "e2e_request_latency_seconds", "request_inference_time_seconds",
        "request_queue_time_seconds", "request_prefill_time_seconds", "request_decode_time_seconds",
        "request_prompt_tokens", "request_generation_tokens", "request_params_max_tokens",
        "request_token_ratio"})
    EXPECT_THAT(text, HasSubstr("# TYPE fastdeploy:" + std::string(histogram) + " histogram\n"));
  for (const char* counter :
       {"prompt_tokens_total", "generation_tokens_total", "requests_number_total",
        "request_success_total", "request_preempted_total", "prefix_cache_token_num_total"})
    EXPECT_THAT(text, HasSubstr("# TYPE fastdeploy:" + std::string(counter) + " counter\n"));
}

// Without it, a finished request could land in the wrong series or be counted twice.
TEST(Metrics, RecordsAFinishedRequest) {
  Metrics metrics;
  metrics.record_finished(finished_request());
  const std::string text = metrics.render();
  for (const char* line :
       {"fastdeploy:requests_number_total 1\n", "fastdeploy:request_success_total 1\n",
        "fastdeploy:prompt_tokens_total 100\n", "fastdeploy:generation_tokens_total 9\n",
        "fastdeploy:prefix_cache_token_num_total 64\n", "fastdeploy:hit_token_rate 0.64\n",
        "fastdeploy:hit_req_rate 1\n", "fastdeploy:first_token_latency 2\n",
        "fastdeploy:time_to_first_token_seconds_bucket{le=\"1\"} 0\n",
        "fastdeploy:time_to_first_token_seconds_bucket{le=\"2.5\"} 1\n",
        "fastdeploy:request_queue_time_seconds_sum 0.5\n",
        // eight intervals of 0.1 s
        "fastdeploy:time_per_output_token_seconds_count 8\n",
        "fastdeploy:time_per_output_token_seconds_bucket{le=\"0.075\"} 0\n",
        "fastdeploy:time_per_output_token_seconds_bucket{le=\"0.1\"} 8\n",
        "fastdeploy:request_token_ratio_bucket{le=\"10\"} 1\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

// Without it, a request cancelled in the queue would count as one of zero seconds.
TEST(Metrics, SkipsPhasesThatDidNotHappen) {
  Metrics metrics;
  metrics.record_finished({.e2e_s = 0.25, .prompt_tokens = 10, .max_tokens = 4});
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("fastdeploy:time_to_first_token_seconds_count 0\n"));
  EXPECT_THAT(text, HasSubstr("fastdeploy:request_inference_time_seconds_count 0\n"));
  EXPECT_THAT(text, HasSubstr("fastdeploy:e2e_request_latency_seconds_count 1\n"));
  EXPECT_THAT(text, HasSubstr("fastdeploy:request_success_total 0\n"));
}

// Without it, gauges could name the wrong number, or preemptions be counted once per scrape.
TEST(Metrics, ShowsTheEnginesState) {
  Metrics metrics;
  const EngineGauges gauges{.running = 3,
                            .waiting = 5,
                            .max_batch_size = 8,
                            .total_blocks = 100,
                            .free_blocks = 20,
                            .available_blocks = 75,
                            .preemptions = 2,
                            .encoder_cache_queries = 9,
                            .encoder_cache_hits = 4};
  metrics.set_engine(gauges);
  metrics.set_engine(gauges);
  metrics.set_cache_config({{"block_size", "64"}});
  const std::string text = metrics.render();
  for (const char* line :
       {"fastdeploy:num_requests_running 3\n", "fastdeploy:num_requests_waiting 5\n",
        "fastdeploy:available_batch_size 5\n", "fastdeploy:gpu_cache_usage_perc 0.25\n",
        "fastdeploy:available_gpu_block_num 75\n", "fastdeploy:free_gpu_block_num 20\n",
        "fastdeploy:available_gpu_resource 0.75\n", "fastdeploy:request_preempted_total 2\n",
        "fastdeploy:encoder_cache_queries_total 9\n", "fastdeploy:encoder_cache_hits_total 4\n",
        "fastdeploy:cache_config_info{block_size=\"64\"} 1\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

// A94: without it, series could grow with the number of requests.
// A94
TEST(Metrics, HttpSeriesDependOnLabelsOnly) {
  Metrics metrics;
  metrics.record_http("POST", "/v1/chat/completions", 200, 0.2);
  const size_t lines = count_lines(metrics.render());
  for (int i = 0; i < 100; ++i) metrics.record_http("POST", "/v1/chat/completions", 200, 0.2);
  const std::string text = metrics.render();
  EXPECT_EQ(count_lines(text), lines);
  EXPECT_THAT(text, HasSubstr("http_requests_total{method=\"POST\",path=\"/v1/chat/completions\","
                              "status_code=\"200\"} 101\n"));
  EXPECT_THAT(text, Not(HasSubstr("fastdeploy:http")));
}

// A92
TEST(Metrics, DroppedLogLinesAreATotal) {
  Metrics metrics;
  metrics.set_dropped_log_lines(3);
  metrics.set_dropped_log_lines(5);
  EXPECT_THAT(metrics.render(), HasSubstr("\nlog_lines_dropped_total 5"));
}

}  // namespace
}  // namespace ernie::obs
