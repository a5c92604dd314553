#include "load_report.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace ernie::app {
namespace {

namespace json = boost::json;

struct Latency {
  const char* key;
  const char* what;
  const Samples LoadResult::*samples;
};

constexpr Latency kLatencies[] = {
    {"ttft", "TTFT, first token", &LoadResult::ttft},
    {"tpot", "TPOT, per token after it", &LoadResult::tpot},
    {"itl", "ITL, between pieces", &LoadResult::itl},
    {"e2el", "E2EL, whole answer", &LoadResult::e2el},
};

double per_second(double amount, const LoadResult& r) {
  return r.seconds > 0 ? amount / r.seconds : 0;
}

}  // namespace

std::string load_table(const ServeBenchOptions& options, const LoadResult& r) {
  std::string out;
  const auto line = [&](const char* what, const auto& value, const char* unit = "") {
    out += fmt::format("{:28} {:>12} {}\n", what, value, unit);
  };
  const auto rate = [&](double amount) { return fmt::format("{:.2f}", per_second(amount, r)); };
  line("requests completed", r.completed);
  line("requests failed", r.failed);
  for (const auto& [reason, count] : r.failures)
    out += fmt::format("  {:>6} x {}\n", count, reason);
  if (r.cut_off > 0) line("cut off", r.cut_off);
  line("duration", fmt::format("{:.2f}", r.seconds), "s");
  line("most requests at once", r.peak_concurrency);
  line("prompt tokens", r.prompt_tokens);
  line("output tokens", r.output_tokens);
  if (r.unreported > 0)
    out += fmt::format(
        "  {} answers came without usage: their pieces count as output tokens, and their prompts "
        "not at all\n",
        r.unreported);
  line("requests", rate(r.completed), "/s");
  line("output tokens", rate(static_cast<double>(r.output_tokens)), "/s");
  line("prompt and output tokens", rate(static_cast<double>(r.prompt_tokens + r.output_tokens)),
       "/s");

  out += fmt::format("\n{:28} {:>12}", "ms", "mean");
  for (const double p : options.percentiles) out += fmt::format(" {:>10}", fmt::format("p{:g}", p));
  out += "\n";
  for (const Latency& latency : kLatencies) {
    const Samples& samples = r.*latency.samples;
    if (samples.count() == 0) continue;
    out += fmt::format("{:28} {:>12.2f}", latency.what, samples.mean() * 1e3);
    for (const double p : options.percentiles)
      out += fmt::format(" {:>10.2f}", samples.percentile(p) * 1e3);
    out += "\n";
  }
  return out;
}

std::string load_json(const ServeBenchOptions& o, const std::string& model, const LoadResult& r) {
  json::object failures;
  for (const auto& [reason, count] : r.failures) failures[reason] = count;
  json::object out{
      {"url", o.url},
      {"model", model},
      {"endpoint", o.chat ? "chat" : "completions"},
      {"num_prompts", o.num_prompts},
      {"max_concurrency", o.max_concurrency},
      {"request_rate", o.request_rate > 0 ? json::value(o.request_rate) : json::value("inf")},
      {"random_input_len", o.input_len},
      {"random_output_len", o.output_len},
      {"random_range_ratio", o.range_ratio},
      {"images", o.images},
      {"image_size", fmt::format("{}x{}", o.image_size.width, o.image_size.height)},
      {"seed", o.seed},
      {"completed", r.completed},
      {"failed", r.failed},
      {"failures", std::move(failures)},
      {"cut_off", r.cut_off},
      {"without_usage", r.unreported},
      {"duration", r.seconds},
      {"max_concurrent_requests", r.peak_concurrency},
      {"total_input_tokens", r.prompt_tokens},
      {"total_output_tokens", r.output_tokens},
      {"request_throughput", per_second(r.completed, r)},
      {"output_throughput", per_second(static_cast<double>(r.output_tokens), r)},
      {"total_token_throughput",
       per_second(static_cast<double>(r.prompt_tokens + r.output_tokens), r)}};
  for (const Latency& latency : kLatencies) {
    const Samples& samples = r.*latency.samples;
    out[fmt::format("mean_{}_ms", latency.key)] = samples.mean() * 1e3;
    for (const double p : o.percentiles)
      out[fmt::format("p{:g}_{}_ms", p, latency.key)] = samples.percentile(p) * 1e3;
  }
  return json::serialize(out) + "\n";
}

}  // namespace ernie::app
