#include "engine_bench.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>
#include <stdexcept>
#include <thread>

#include "backend/cpu/ceilings/ceilings.h"
#include "backend/cuda_ceilings.h"
#include "comm/solo_shard.h"
#include "devices.h"
#include "engine/engine.h"
#include "engine/model_source.h"
#include "engine_bench_prompts.h"
#include "samples.h"
#include "served_model.h"

namespace ernie::app {
namespace {

using engine::Clock;

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// When each token of one request came.
class Timeline : public engine::EventSink {
 public:
  void on_token(const engine::TokenEvent&) override { times.push_back(Clock::now()); }
  void on_finish(engine::FinishReason, const engine::RequestStats& stats,
                 const std::optional<Error>& error) override {
    if (error)
      done.set_exception(
          std::make_exception_ptr(std::runtime_error("a request failed: " + error->message)));
    else
      done.set_value(stats);
  }
  std::vector<Clock::time_point> times;
  std::promise<engine::RequestStats> done;
};

struct Answer {
  engine::RequestStats stats;
  std::vector<Clock::time_point> times;
};

class EngineUnderTest {
 public:
  EngineUnderTest(const EngineBenchOptions& options, StartClock& clock) : options_(options) {
    engine::EngineConfig config = options.serve.engine;
    config.on_load_progress = load_progress(clock);
    const Devices devices = choose_devices(options.serve, config);
    make_backend_ = [make = devices.make_backend, this](int rank) {
      auto backend = make(rank);
      if (rank == 0) device_ = backend->name();
      return backend;
    };
    engine_ = options.shard > 1 ? start_shard(config)
                                : engine::Engine::start(options.config, config, make_backend_,
                                                        devices.make_communicators);
  }

  const std::string& device() const { return device_; }
  const engine::MemoryReport& memory() const { return engine_->memory(); }

  // Runs prompts together, after one token of `before` if there is one, and returns when all have
  // `tokens` tokens.
  std::vector<Answer> run(const std::vector<std::shared_ptr<const model::Prompt>>& prompts,
                          int tokens,
                          const std::shared_ptr<const model::Prompt>& before = nullptr) {
    std::shared_ptr<Timeline> first;
    if (before) first = submit(before, 1);
    std::vector<std::shared_ptr<Timeline>> sinks;
    sinks.reserve(prompts.size());
    for (const auto& prompt : prompts) sinks.push_back(submit(prompt, tokens));
    if (first) first->done.get_future().get();
    std::vector<Answer> answers;
    for (const auto& sink : sinks) {
      engine::RequestStats stats = sink->done.get_future().get();
      answers.push_back({stats, std::move(sink->times)});
    }
    return answers;
  }

 private:
  std::shared_ptr<Timeline> submit(const std::shared_ptr<const model::Prompt>& prompt, int tokens) {
    auto sink = std::make_shared<Timeline>();
    engine::GenerationRequest request;
    request.id = "bench";
    request.prompt = prompt;
    request.sampling.options.temperature = 0;
    request.sampling.max_tokens = tokens;
    request.sink = sink;
    if (const auto handle = engine_->submit(std::move(request)); !handle)
      throw std::runtime_error("the engine refused a request: " + handle.error().message);
    return sink;
  }

  // One rank with the weights of rank 0 of many.
  std::unique_ptr<engine::Engine> start_shard(const engine::EngineConfig& config) {
    const int ranks = options_.shard;
    const model::ModelConfig model = engine::stored_model(options_.config, config);
    const auto load = [this, &model, &config, ranks](const model::LoadOptions& options,
                                                     ops::Backend& backend, Communicator&) {
      std::vector<int32_t> row_of(static_cast<size_t>(options.limits.max_seqs) * ranks);
      for (size_t i = 0; i < row_of.size(); ++i)
        row_of[i] = static_cast<int32_t>(i / static_cast<size_t>(ranks));
      const size_t bytes = row_of.size() * sizeof(int32_t);
      rows_ = backend.allocate(bytes);
      backend.copy_to_device(rows_.data(), row_of.data(), bytes);
      shard_ = make_solo_shard(ranks, [this, &backend](TensorView part, TensorView out) {
        backend.gather_rows({part, rows_.view(DType::kI32, {out.rows()}), out});
      });
      return model::load_model(model, config.model_dir, options, backend, *shard_);
    };
    return engine::start_engine(
        model, config, make_backend_,
        {.plan =
             [&model, ranks](const model::LoadOptions& options, const ops::Sizing& sizing) {
               return model::plan_memory(model, options, ranks, sizing);
             },
         .load = load,
         .ranks = ranks});
  }

  const EngineBenchOptions& options_;
  engine::BackendFactory make_backend_;
  std::string device_;
  Buffer rows_;                          // the one rank's, used until the engine ends
  std::unique_ptr<Communicator> shard_;  // the same
  std::unique_ptr<engine::Engine> engine_;
};

// Gives each prompt a seed of its own, so that none is in the prefix cache.
class Measurements {
 public:
  Measurements(const EngineBenchOptions& options, EngineUnderTest& engine)
      : options_(options), engine_(engine) {
    const bool cpu_ranks_together = !chooses_cuda(options.serve);
    const int parallel = options.serve.engine.tensor_parallel_size;
    ranks_ = options.shard > 1 ? options.shard : parallel;
    sharing_ = cpu_ranks_together ? parallel : 1;
  }

  DecodeFigure decode(int batch) {
    DecodeFigure figure{.batch = batch};
    Samples steps;
    run_batch(batch, std::min(options_.output_len, 4));  // warms up
    for (int i = 0; i < options_.repeats; ++i) {
      const std::vector<Answer> answers = run_batch(batch, options_.output_len);
      for (const Answer& answer : answers) figure.preemptions += answer.stats.preemptions;
      if (const double step = step_seconds(answers); step > 0) steps.add(step);
    }
    if (steps.count() == 0)
      throw StartError(fmt::format(
          "--output-len is {}; {} sequences never decoded together, so it must be larger",
          options_.output_len, batch));
    figure.step_seconds = steps.percentile(50);
    figure.cost = text_cost(batch, 1, options_.input_len + options_.output_len / 2.0);
    return figure;
  }

  PrefillFigure prefill(int tokens) {
    PrefillFigure figure{.tokens = tokens, .cost = text_cost(1, tokens, 0)};
    Samples times;
    for (int i = 0; i <= options_.repeats; ++i) {
      const Answer answer = engine_.run({random_prompt(options_.config, tokens, ++seed_)}, 1)[0];
      if (i > 0) times.add(seconds(answer.stats.scheduled, answer.stats.first_token));
    }
    figure.seconds = times.percentile(50);
    return figure;
  }

  ImageFigure image() {
    ImageFigure figure{.size = *options_.image, .tokens = options_.image_tokens};
    Samples prepare;
    Samples cold;
    Samples repeated;
    for (int i = 0; i <= options_.repeats; ++i) {
      const media::Image picture = random_picture(figure.size, ++seed_);
      const auto begin = Clock::now();
      const auto prompt = picture_prompt(options_.config, picture, seed_);
      const auto end = Clock::now();
      const double first = first_token_seconds(prompt);
      const double second = first_token_seconds(prompt);
      if (i == 0) continue;
      prepare.add(seconds(begin, end));
      cold.add(first);
      repeated.add(second);
    }
    figure.prepare_seconds = prepare.percentile(50);
    figure.cold_seconds = cold.percentile(50);
    figure.repeated_seconds = repeated.percentile(50);
    const int merge = options_.config.vision->spatial_merge;
    figure.cold = shared(
        image_cost(options_.config, widths(true), ranks_, options_.image_tokens * merge * merge));
    figure.repeated = text_cost(1, 1, options_.image_tokens);
    return figure;
  }

 private:
  // The batch waits for a prompt that comes first and ends at once, so that it starts together.
  std::vector<Answer> run_batch(int batch, int tokens) {
    std::vector<std::shared_ptr<const model::Prompt>> prompts;
    prompts.reserve(static_cast<size_t>(batch));
    for (int i = 0; i < batch; ++i)
      prompts.push_back(random_prompt(options_.config, options_.input_len, ++seed_));
    const auto before = random_prompt(options_.config, options_.input_len, ++seed_);
    return engine_.run(prompts, tokens, before);
  }

  // Mean of one run, while all sequences decode: from the last one's first token to the first one's
  // last. 0 when there is no such time.
  static double step_seconds(const std::vector<Answer>& answers) {
    const auto by = [](auto member) {
      return
          [member](const Answer& a, const Answer& b) { return a.stats.*member < b.stats.*member; };
    };
    const auto [earliest, latest] =
        std::minmax_element(answers.begin(), answers.end(), by(&engine::RequestStats::first_token));
    const auto ends =
        std::min_element(answers.begin(), answers.end(), by(&engine::RequestStats::finished));
    const auto steps = static_cast<double>(ends->times.size()) - 1;
    if (earliest->stats.first_token == latest->stats.first_token)  // the same step
      return seconds(latest->stats.first_token, ends->stats.finished) / steps;
    // The budget of a step was too small to start all at once.
    const Clock::time_point begin = latest->times.front();
    Samples gaps;
    for (size_t t = 1; t < ends->times.size(); ++t)
      if (ends->times[t - 1] >= begin) gaps.add(seconds(ends->times[t - 1], ends->times[t]));
    return gaps.mean();
  }

  double first_token_seconds(const std::shared_ptr<const model::Prompt>& prompt) {
    const engine::RequestStats stats = engine_.run({prompt}, 1)[0].stats;
    return seconds(stats.arrival, stats.first_token);
  }

  double width() const { return static_cast<double>(dtype_bytes(options_.serve.engine.dtype)); }
  double width(const std::optional<WeightFormat>& format) const {
    return format ? weight_width(*format) : width();
  }
  // With the experts of text or of pictures.
  WeightWidths widths(bool vision) const {
    const model::Quantization q =
        take(model::resolve_quantization(options_.config, options_.serve.engine.quantization));
    return {width(q.dense), width(vision ? q.vision_experts : q.text_experts), width()};
  }

  // With a share of the scales.
  double kv_width() const {
    const KvType type = options_.serve.engine.kv_type();
    return is_quantized(type) ? 1 + 2.0 / options_.config.head_dim
                              : static_cast<double>(dtype_bytes(element_dtype(type)));
  }

  StepCost text_cost(int sequences, int tokens, double context) const {
    return shared(text_step_cost(options_.config, widths(false), kv_width(), ranks_, sequences,
                                 tokens, context));
  }

  // Ranks on one CPU draw on the same ceilings.
  StepCost shared(StepCost cost) const {
    cost.weight_bytes *= sharing_;
    cost.kv_bytes *= sharing_;
    cost.flops *= sharing_;
    return cost;
  }

  const EngineBenchOptions& options_;
  EngineUnderTest& engine_;
  int ranks_ = 1;
  int sharing_ = 1;
  uint64_t seed_ = 0;
};

size_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

DeviceCeilings measure_ceilings(const ServeOptions& options) {
  if (chooses_cuda(options)) {
    const cuda::Ceilings found = cuda::measure_ceilings(0);
    return {found.read_bytes_per_s, found.bf16_flops};
  }
  const int threads = options.cpu_threads > 0
                          ? options.cpu_threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return {cpu::read_bandwidth(threads), cpu::fma_peak(cpu::best_isa(), threads)};
}

}  // namespace

Floor floor_of(const StepCost& cost, const DeviceCeilings& ceilings) {
  const double memory = (cost.weight_bytes + cost.kv_bytes) / ceilings.read_bytes_per_s;
  const double compute = cost.flops / ceilings.flops;
  return {std::max(memory, compute), memory >= compute};
}

EngineBenchResult run_engine_bench(const EngineBenchOptions& options, StartClock& clock) {
  EngineBenchResult result;
  // Before the engine: after it the driver clears what it freed, at the cost of bandwidth.
  clock.begin("ceilings of the device");
  result.ceilings = measure_ceilings(options.serve);
  clock.begin("plan memory");
  {
    EngineUnderTest engine(options, clock);
    Measurements measure(options, engine);
    for (const int batch : options.batches) {
      clock.begin(fmt::format("decode, batch {}", batch));
      result.decode.push_back(measure.decode(batch));
    }
    for (const int tokens : options.prefill) {
      clock.begin(fmt::format("prefill of {} tokens", tokens));
      result.prefill.push_back(measure.prefill(tokens));
    }
    if (options.image) {
      clock.begin(fmt::format("picture of {} tokens", options.image_tokens));
      result.image.push_back(measure.image());
    }
    result.device = engine.device();
    result.weight_bytes = engine.memory().weight_bytes;
    result.kv_bytes = engine.memory().kv_bytes;
    result.peak_rss = peak_rss_bytes();
  }
  clock.end();
  return result;
}

}  // namespace ernie::app
