#include "obs/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <mutex>

namespace ernie::obs {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// FastDeploy's boundaries end at 1 s, where a long prompt only begins; the larger ones are ours.
const Buckets kFirstTokenBuckets = {.001, .005, .01, .02, .04, .06, .08, .1,  .25, .5, .75,
                                    1,    2.5,  5,   10,  20,  40,  60,  120, 240, 480};
const Buckets kPerTokenBuckets = {.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1};
const Buckets kRequestBuckets = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
const Buckets kTokenBuckets = {1,    2,    5,    10,    20,    50,    100,    200,   500,
                               1000, 2000, 5000, 10000, 20000, 50000, 100000, 131072};
const Buckets kRateBuckets = {1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000};
const Buckets kHttpBuckets = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300};

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;

  Gauge& gauge(const char* name, const char* help) {
    return BuildGauge()
        .Name(std::string("fastdeploy:") + name)
        .Help(help)
        .Register(registry)
        .Add({});
  }
  Counter& counter(const char* name, const char* help) {
    return BuildCounter()
        .Name(std::string("fastdeploy:") + name)
        .Help(help)
        .Register(registry)
        .Add({});
  }
  Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return BuildHistogram()
        .Name(std::string("fastdeploy:") + name)
        .Help(help)
        .Register(registry)
        .Add({}, buckets);
  }

  Gauge& running = gauge("num_requests_running", "Requests in execution");
  Gauge& waiting = gauge("num_requests_waiting", "Requests in the queue");
  Gauge& cache_usage = gauge("gpu_cache_usage_perc", "KV cache in use, 0 to 1");
  Gauge& batch = gauge("batch_size", "Sequences in the running batch");
  Gauge& max_batch = gauge("max_batch_size", "Most sequences a batch can hold");
  Gauge& free_batch = gauge("available_batch_size", "Sequences the batch has room for");
  Gauge& max_blocks = gauge("max_gpu_block_num", "KV blocks in all");
  Gauge& available_blocks =
      gauge("available_gpu_block_num", "KV blocks free, or held by the prefix cache only");
  Gauge& free_blocks = gauge("free_gpu_block_num", "KV blocks that hold nothing");
  Gauge& available_share =
      gauge("available_gpu_resource", "Share of KV blocks that are available, 0 to 1");
  Gauge& first_token_last =
      gauge("first_token_latency", "Seconds to the first token, of the last finished request");
  Gauge& infer_last = gauge("infer_latency", "Seconds of inference, of the last finished request");
  Gauge& hit_requests =
      gauge("hit_req_rate", "Share of finished requests with a prefix cache hit, 0 to 1");
  Gauge& hit_tokens =
      gauge("hit_token_rate", "Share of prompt tokens taken from the prefix cache, 0 to 1");
  Gauge& gpu_hit_tokens =
      gauge("gpu_hit_token_rate", "Same as hit_token_rate: there is one cache tier");

  Histogram& first_token = histogram("time_to_first_token_seconds",
                                     "Seconds from arrival to the first token", kFirstTokenBuckets);
  Histogram& per_token = histogram(
      "time_per_output_token_seconds",
      "Seconds between tokens; a request counts its mean once for each interval", kPerTokenBuckets);
  Histogram& e2e =
      histogram("e2e_request_latency_seconds", "Seconds from arrival to the end", kRequestBuckets);
  Histogram& inference = histogram("request_inference_time_seconds",
                                   "Seconds from first scheduling to the end", kRequestBuckets);
  Histogram& queue =
      histogram("request_queue_time_seconds", "Seconds in the queue", kRequestBuckets);
  Histogram& prefill =
      histogram("request_prefill_time_seconds", "Seconds from first scheduling to the first token",
                kRequestBuckets);
  Histogram& decode = histogram("request_decode_time_seconds",
                                "Seconds from the first token to the end", kRequestBuckets);
  Histogram& prompt_tokens =
      histogram("request_prompt_tokens", "Prompt tokens of a request", kTokenBuckets);
  Histogram& generated_tokens =
      histogram("request_generation_tokens", "Generated tokens of a request", kTokenBuckets);
  Histogram& max_tokens =
      histogram("request_params_max_tokens", "max_tokens of a request", kTokenBuckets);
  Histogram& token_ratio =
      histogram("request_token_ratio", "Generated tokens per second of a request", kRateBuckets);

  Counter& prompt_total = counter("prompt_tokens_total", "Prompt tokens of finished requests");
  Counter& generated_total =
      counter("generation_tokens_total", "Generated tokens of finished requests");
  Counter& requests = counter("requests_number_total", "Finished requests");
  Counter& success = counter("request_success_total", "Requests that ended with stop or length");
  Counter& preempted = counter("request_preempted_total", "Preemptions");
  Counter& cached_total =
      counter("prefix_cache_token_num_total", "Prompt tokens taken from the prefix cache");
  Counter& gpu_cached_total =
      counter("prefix_gpu_cache_token_num_total", "Same: there is one cache tier");
  Counter& encoder_cache_queries = counter("encoder_cache_queries_total",
                                           "Pictures, or pairs of video frames, that steps needed");
  Counter& encoder_cache_hits =
      counter("encoder_cache_hits_total", "Of these, those that the encoder cache held");

  Counter& dropped_log_lines = BuildCounter()
                                   .Name("log_lines_dropped_total")
                                   .Help("Log lines that nobody read in time")
                                   .Register(registry)
                                   .Add({});
  prometheus::Family<Counter>& http_requests =
      BuildCounter().Name("http_requests_total").Help("Answered HTTP requests").Register(registry);
  prometheus::Family<Histogram>& http_seconds =
      BuildHistogram()
          .Name("http_request_duration_seconds")
          .Help("Seconds from a request's head to the last byte of its answer")
          .Register(registry);

  std::mutex mutex;  // guards what follows
  uint64_t finished = 0;
  uint64_t finished_with_hit = 0;
  EngineGauges seen;  // totals that the counters hold already
  uint64_t seen_dropped_log_lines = 0;
};

namespace {

void advance(Counter& counter, uint64_t& seen, uint64_t total) {
  if (total <= seen) return;
  counter.Increment(static_cast<double>(total - seen));
  seen = total;
}

}  // namespace

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::record_finished(const RequestTimings& t) {
  Impl& m = *impl_;
  const auto observe = [](Histogram& histogram, double seconds) {
    if (seconds >= 0) histogram.Observe(seconds);
  };
  observe(m.queue, t.queue_s);
  observe(m.first_token, t.first_token_s);
  observe(m.prefill, t.prefill_s);
  observe(m.decode, t.decode_s);
  observe(m.e2e, t.e2e_s);
  const double inference = t.queue_s >= 0 && t.e2e_s >= 0 ? t.e2e_s - t.queue_s : -1;
  observe(m.inference, inference);
  if (inference >= 0) m.infer_last.Set(inference);
  if (t.first_token_s >= 0) m.first_token_last.Set(t.first_token_s);

  if (t.decode_s >= 0 && t.generated_tokens > 1) {
    const double intervals = t.generated_tokens - 1;
    const auto bucket =
        std::lower_bound(kPerTokenBuckets.begin(), kPerTokenBuckets.end(), t.decode_s / intervals);
    std::vector<double> counts(kPerTokenBuckets.size() + 1, 0.0);
    counts[bucket - kPerTokenBuckets.begin()] = intervals;
    m.per_token.ObserveMultiple(counts, t.decode_s);
    if (t.decode_s > 0) m.token_ratio.Observe(intervals / t.decode_s);
  }
  m.prompt_tokens.Observe(t.prompt_tokens);
  m.generated_tokens.Observe(t.generated_tokens);
  m.max_tokens.Observe(t.max_tokens);
  m.prompt_total.Increment(t.prompt_tokens);
  m.generated_total.Increment(t.generated_tokens);
  m.cached_total.Increment(t.cached_tokens);
  m.gpu_cached_total.Increment(t.cached_tokens);
  m.requests.Increment();
  if (t.success) m.success.Increment();

  std::lock_guard lock(m.mutex);
  ++m.finished;
  m.finished_with_hit += t.cached_tokens > 0;
  m.hit_requests.Set(static_cast<double>(m.finished_with_hit) / static_cast<double>(m.finished));
  if (m.prompt_total.Value() > 0) {
    m.hit_tokens.Set(m.cached_total.Value() / m.prompt_total.Value());
    m.gpu_hit_tokens.Set(m.cached_total.Value() / m.prompt_total.Value());
  }
}

void Metrics::set_engine(const EngineGauges& g) {
  Impl& m = *impl_;
  m.running.Set(g.running);
  m.waiting.Set(g.waiting);
  m.batch.Set(g.running);
  m.max_batch.Set(g.max_batch_size);
  m.free_batch.Set(g.max_batch_size - g.running);
  m.max_blocks.Set(g.total_blocks);
  m.available_blocks.Set(g.available_blocks);
  m.free_blocks.Set(g.free_blocks);
  const double available =
      g.total_blocks > 0 ? static_cast<double>(g.available_blocks) / g.total_blocks : 0;
  m.available_share.Set(available);
  m.cache_usage.Set(g.total_blocks > 0 ? 1 - available : 0);

  std::lock_guard lock(m.mutex);
  advance(m.preempted, m.seen.preemptions, g.preemptions);
  advance(m.encoder_cache_queries, m.seen.encoder_cache_queries, g.encoder_cache_queries);
  advance(m.encoder_cache_hits, m.seen.encoder_cache_hits, g.encoder_cache_hits);
}

void Metrics::set_dropped_log_lines(uint64_t total) {
  std::lock_guard lock(impl_->mutex);
  advance(impl_->dropped_log_lines, impl_->seen_dropped_log_lines, total);
}

void Metrics::set_cache_config(const std::map<std::string, std::string>& labels) {
  BuildGauge()
      .Name("fastdeploy:cache_config_info")
      .Help("Settings of the KV cache, as labels")
      .Register(impl_->registry)
      .Add(labels)
      .Set(1);
}

void Metrics::record_http(std::string_view method, std::string_view path, int status,
                          double seconds) {
  const std::string method_label(method);
  const std::string path_label(path);
  impl_->http_requests
      .Add(
          {{"method", method_label}, {"path", path_label}, {"status_code", std::to_string(status)}})
      .Increment();
  impl_->http_seconds.Add({{"method", method_label}, {"path", path_label}}, kHttpBuckets)
      .Observe(seconds);
}

std::string Metrics::render() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace ernie::obs
