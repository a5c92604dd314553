#include "served_model.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_factory.h"
#include "engine_metrics.h"

namespace ernie::app {
namespace {

// A GPU's step takes milliseconds, with a long prompt and pictures up to seconds. The check comes
// at most 100 ms late, so that a rank that hangs is found within 2 s.
constexpr engine::StepTimeLimits kGpuTimeLimits{.step = std::chrono::seconds(60),
                                                .rank = std::chrono::milliseconds(1800)};

template <typename T>
T take(Result<T> result) {
  if (!result) throw StartError(result.error().message);
  return std::move(*result);
}

std::shared_ptr<const text::ChatTemplate> make_template(const ServeOptions& options,
                                                        const model::ModelConfig& config,
                                                        const std::string& folder) {
  if (!options.chat_template.empty()) {
    auto given = text::ChatTemplate::from_jinja(options.chat_template);
    if (!given) throw StartError("--chat-template: " + given.error().message);
    return std::move(*given);
  }
  auto own = take(text::ChatTemplate::from_checkpoint(folder));
  if (own) return own;
  return text::ChatTemplate::builtin(config.vision ? text::BuiltinTemplate::kErnieVl
                                                   : text::BuiltinTemplate::kErnieText);
}

// Where the ranks run.
struct Devices {
  engine::BackendFactory make_backend;
  CommunicatorFactory make_communicators;
  engine::StepTimeLimits limits;
};

Devices cpu_devices(const ServeOptions& options) {
  const int cores = std::max(1u, std::thread::hardware_concurrency());
  const int threads = options.cpu_threads > 0 ? options.cpu_threads : cores;
  const int each = std::max(1, threads / options.engine.tensor_parallel_size);
  return {.make_backend = [each](int) { return cpu::make_cpu_backend({.threads = each}); },
          .make_communicators = make_host_communicators};
}

Devices choose_devices(const ServeOptions& options) {
  if (options.device == "cpu") return cpu_devices(options);
  const cuda::DeviceCount present = cuda::count_devices();
  if (present.count > 0) {
    std::vector<int> devices(static_cast<size_t>(options.engine.tensor_parallel_size));
    std::iota(devices.begin(), devices.end(), 0);
    cuda::CudaRanks ranks = cuda::make_cuda_ranks(std::move(devices));
    return {std::move(ranks.make_backend), std::move(ranks.make_communicators), kGpuTimeLimits};
  }
  if (options.device == "cuda") throw StartError("--device cuda: " + present.reason);
  return cpu_devices(options);
}

}  // namespace

ServedModel::ServedModel(const ServeOptions& options, StartClock& clock, obs::Metrics& metrics,
                         std::function<void(const std::string&)> on_fatal) {
  clock.begin("find the model");
  engine::EngineConfig engine_config = options.engine;
  engine_config.model_dir = take(model::resolve_model(options.model));
  const std::string& folder = engine_config.model_dir;

  clock.begin("read configuration");
  const model::ModelConfig config = take(model::load_config(folder));
  auto tokenizer = std::make_shared<const text::Tokenizer>(take(text::Tokenizer::load(folder)));
  serve::ChatService::Parts parts{
      .tokenizer = tokenizer,
      .chat_template = make_template(options, config, folder),
      .processor = take(model::Processor::create(config, tokenizer, options.processor)),
      .defaults = take(serve::load_generation_defaults(folder, *tokenizer)),
      .vocab_size = config.vocab_size};
  parts.on_finished = [&metrics](const serve::RequestRecord& record) {
    metrics.record_finished(to_timings(record));
  };

  clock.begin("plan memory");
  enum { kPlanning, kLoading, kLoaded } stage = kPlanning;
  engine_config.on_fatal = std::move(on_fatal);
  engine_config.on_load_progress = [&clock, &stage](size_t done, size_t total) {
    if (stage == kPlanning) {
      clock.begin("load weights");
      stage = kLoading;
    }
    if (stage == kLoading) clock.progress(done, total);
    if (stage == kLoading && done >= total) {
      clock.begin("make the cache and warm up");
      stage = kLoaded;
    }
  };
  const Devices devices = choose_devices(options);
  engine_config.time_limits = devices.limits;
  engine_ = engine::Engine::start(config, engine_config, devices.make_backend,
                                  devices.make_communicators);
  clock.end();

  parts.engine = engine_.get();
  service_ = serve::ChatService::create(std::move(parts), options.service);
}

}  // namespace ernie::app
