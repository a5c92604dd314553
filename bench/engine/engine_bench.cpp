// Decode and prefill speed of the engine on dummy weights of a built-in geometry, beside the
// machine's own ceilings measured in the same run. One line of JSON on stdout.
//
//   engine_bench [geometry] [threads]
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <string>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "micro/ceilings.h"
#include "model/config.h"

namespace {

using namespace ernie;
using engine::Clock;

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Waiter : public engine::EventSink {
 public:
  void on_token(const engine::TokenEvent&) override {}
  void on_finish(engine::FinishReason, const engine::RequestStats& stats,
                 const std::optional<Error>& error) override {
    if (error) std::fprintf(stderr, "request failed: %s\n", error->message.c_str());
    done.set_value(stats);
  }
  std::promise<engine::RequestStats> done;
};

std::shared_ptr<const model::Prompt> random_prompt(int tokens, int vocab, uint32_t seed) {
  auto prompt = std::make_shared<model::Prompt>();
  for (int i = 0; i < tokens; ++i) {
    seed = seed * 1664525u + 1013904223u;
    prompt->tokens.push_back(static_cast<int32_t>((seed >> 8) % static_cast<uint32_t>(vocab)));
    prompt->positions.push_back({i, i, i});
    prompt->is_vision.push_back(0);
  }
  prompt->next_position = tokens;
  return prompt;
}

engine::RequestStats run(engine::Engine& engine, int prompt_tokens, int new_tokens, int vocab,
                         uint32_t seed) {
  auto sink = std::make_shared<Waiter>();
  auto done = sink->done.get_future();
  engine::GenerationRequest request;
  request.id = "bench";
  request.prompt = random_prompt(prompt_tokens, vocab, seed);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = new_tokens;
  request.sink = sink;
  if (auto handle = engine.submit(std::move(request)); !handle) {
    std::fprintf(stderr, "submit failed: %s\n", handle.error().message.c_str());
    std::exit(1);
  }
  return done.get();
}

size_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string geometry = argc > 1 ? argv[1] : "ERNIE-4.5-0.3B";
  cpu::CpuBackendOptions backend_options;
  if (argc > 2) backend_options.threads = std::stoi(argv[2]);
  const auto config = model::builtin_config(geometry);
  if (!config) {
    std::fprintf(stderr, "no built-in geometry named %s\n", geometry.c_str());
    return 2;
  }
  engine::EngineConfig engine_config;
  engine_config.load_choice = model::LoadChoice::kDummy;
  engine_config.max_model_len = 2048;
  engine_config.max_num_seqs = 8;
  engine_config.max_num_batched_tokens = 512;
  engine_config.num_gpu_blocks_override = 64;
  engine_config.enable_prefix_caching = false;
  auto engine = engine::Engine::start(*config, engine_config,
                                      [&](int) { return cpu::make_cpu_backend(backend_options); });
  const auto& memory = engine->memory();
  const size_t peak_after_load = peak_rss_bytes();

  double decode_s = 1e9;
  double prefill_s = 1e9;
  run(*engine, 16, 8, config->vocab_size, 1);
  for (uint32_t i = 0; i < 3; ++i) {
    const int new_tokens = 48;
    const auto decode = run(*engine, 8, new_tokens, config->vocab_size, 10 + i);
    decode_s = std::min(decode_s, seconds(decode.first_token, decode.finished) / (new_tokens - 1));
    const auto prefill = run(*engine, 512, 1, config->vocab_size, 20 + i);
    prefill_s = std::min(prefill_s, seconds(prefill.scheduled, prefill.first_token));
  }
  const size_t peak_rss = peak_rss_bytes();  // before the ceilings take memory of their own
  const int threads = backend_options.threads > 0
                          ? backend_options.threads
                          : static_cast<int>(std::thread::hardware_concurrency());
  const double read_bytes_per_s = bench::read_bandwidth(threads);
  const double peak_flops = bench::fma_peak(cpu::best_isa(), threads);
  const double step_bytes = static_cast<double>(memory.weight_bytes);
  // Products of the decoder's matrices, without the head (one row of 512).
  const double vocab_params = static_cast<double>(config->vocab_size) * config->hidden_size;
  const double prefill_flops =
      2.0 * 512 * (static_cast<double>(memory.weight_bytes) / 2 - vocab_params);

  std::printf(
      "{\"geometry\": \"%s\", \"dtype\": \"bfloat16\", \"weights\": \"dummy\", \"decode_tok_s\": "
      "%.2f, "
      "\"decode_of_read_bandwidth\": %.3f, \"prefill_512_tok_s\": %.1f, \"prefill_of_peak\": %.3f, "
      "\"read_gb_s\": %.2f, \"peak_gflop_s\": %.1f, \"weight_bytes\": %zu, \"kv_bytes\": %zu, "
      "\"peak_rss_after_load\": %zu, \"peak_rss\": %zu}\n",
      geometry.c_str(), 1 / decode_s, step_bytes / decode_s / read_bytes_per_s, 512 / prefill_s,
      prefill_flops / prefill_s / peak_flops, read_bytes_per_s / 1e9, peak_flops / 1e9,
      memory.weight_bytes, memory.kv_bytes, peak_after_load, peak_rss);
  return 0;
}
