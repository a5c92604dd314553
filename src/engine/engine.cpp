#include "engine/engine.h"

#include <fmt/format.h>

#include <limits>

#include "base/check.h"
#include "base/log.h"
#include "engine/engine_loop.h"
#include "engine/memory_plan.h"
#include "engine/model_source.h"

namespace ernie::engine {
namespace {

using Ranks = std::vector<std::unique_ptr<RankWorker>>;

void require(bool ok, const std::string& message) {
  if (!ok) throw StartError(message);
}

void check_config(const EngineConfig& c, const model::ModelConfig& model_config) {
  require(c.tensor_parallel_size >= 1,
          fmt::format("--tensor-parallel-size must be at least 1, got {}", c.tensor_parallel_size));
  require(c.block_size >= 1, fmt::format("--block-size must be at least 1, got {}", c.block_size));
  require(c.max_num_seqs >= 1,
          fmt::format("--max-num-seqs must be at least 1, got {}", c.max_num_seqs));
  require(c.max_model_len >= 2 && c.max_model_len <= model_config.max_position_embeddings,
          fmt::format("--max-model-len must be from 2 to the model's {} positions, got {}",
                      model_config.max_position_embeddings, c.max_model_len));
  require(c.max_num_batched_tokens >= c.max_num_seqs,
          fmt::format("--max-num-batched-tokens {} must be at least --max-num-seqs {}, one token "
                      "for each running sequence",
                      c.max_num_batched_tokens, c.max_num_seqs));
  require(c.gpu_memory_utilization > 0 && c.gpu_memory_utilization <= 1,
          fmt::format("--gpu-memory-utilization must be above 0 and at most 1, got {}",
                      c.gpu_memory_utilization));
  require(int64_t{c.num_gpu_blocks_override} * c.block_size <= std::numeric_limits<int32_t>::max(),
          fmt::format("--num-gpu-blocks-override {} times --block-size {} exceeds 2^31 tokens",
                      c.num_gpu_blocks_override, c.block_size));
  require(c.max_encoder_cache >= -1,
          fmt::format("--max-encoder-cache must be -1 (planned), 0 (off) or a number of tokens, "
                      "got {}",
                      c.max_encoder_cache));
  require(c.max_waiting_requests >= 1,
          fmt::format("the queue must hold at least 1 request, got {}", c.max_waiting_requests));
  require(c.steps_in_flight == 1 || c.steps_in_flight == 2,
          fmt::format("steps in flight must be 1 or 2, got {}", c.steps_in_flight));
}

// Runs `f` on every rank at once and waits for all. A rank that fails frees the others; the error
// thrown is the one that says why, not that of a rank that was freed.
template <typename F>
void on_all(Ranks& ranks, F f) {
  std::vector<std::future<void>> done;
  for (size_t index = 0; index < ranks.size(); ++index) {
    done.push_back(ranks[index]->call([f, index](RankWorker::Rank& rank) {
      try {
        f(rank, static_cast<int>(index));
      } catch (...) {
        rank.comm.abort();
        throw;
      }
    }));
  }
  std::exception_ptr cause;
  std::string other;
  for (auto& future : done) {
    try {
      future.get();
    } catch (const StartError&) {
      if (!cause) cause = std::current_exception();
    } catch (const std::exception& e) {
      if (other.empty()) other = e.what();
    }
  }
  if (cause) std::rethrow_exception(cause);
  if (!other.empty()) throw StartError("a rank failed while starting: " + other);
}

Ranks make_ranks(int count, const CommunicatorFactory& make_communicators) {
  std::vector<std::unique_ptr<Communicator>> comms = make_communicators(count);
  CHECK(static_cast<int>(comms.size()) == count, "a communicator is needed for each rank");
  Ranks ranks;
  for (int index = 0; index < count; ++index) {
    ranks.push_back(std::make_unique<RankWorker>(index, std::move(comms[index])));
  }
  return ranks;
}

model::LoadOptions load_options(const EngineConfig& config, const model::ModelConfig& model_config,
                                int rank) {
  model::LoadOptions options{.activation = config.dtype,
                             .quantization = config.quantization,
                             .choice = config.load_choice,
                             .text_only = config.text_only,
                             .seed = config.seed,
                             .limits = step_limits(config, model_config)};
  if (rank == 0) options.progress = config.on_load_progress;
  return options;
}

// More sequences than this are bound by the device, not by launches.
int graph_seqs(const EngineConfig& config) {
  constexpr int kMost = 256;
  return config.max_graph_seqs > 0 ? std::min(config.max_graph_seqs, config.max_num_seqs)
                                   : std::min(kMost, config.max_num_seqs);
}

RunnerSizes runner_sizes(const EngineConfig& config, const model::ModelConfig& model_config,
                         const ModelSource& source, const MemoryReport& memory) {
  return {.limits = step_limits(config, model_config),
          .max_blocks_per_seq = sched::blocks_for(config.max_model_len, config.block_size),
          .vocab_size = model_config.vocab_size,
          .num_blocks = memory.num_blocks,
          .num_layers = model_config.num_layers,
          .kv = model::kv_layout(model_config, config.dtype, source.ranks, config.block_size),
          .activation = config.dtype,
          .max_graph_seqs = config.use_graphs ? graph_seqs(config) : 0,
          .hidden_size = model_config.hidden_size,
          .encoder_cache_rows = memory.encoder_cache_tokens};
}

// The largest step as the backend sees it.
ops::WorkShape work_shape(const EngineConfig& config, const model::ModelConfig& model_config,
                          const ModelSource& source) {
  ops::WorkShape shape =
      model::work_shape(model_config, load_options(config, model_config, 0), source.ranks);
  shape.max_context =
      sched::blocks_for(config.max_model_len, config.block_size) * config.block_size;
  return shape;
}

// What one rank needs with a budget of `tokens` per step.
DeviceNeeds rank_needs(EngineConfig config, const model::ModelConfig& model_config,
                       const ModelSource& source, const ops::Sizing& sizing, int tokens) {
  config.max_num_batched_tokens = tokens;
  const auto needs = source.plan(load_options(config, model_config, 0), sizing);
  if (!needs) throw StartError(needs.error().message);
  const RunnerSizes sizes = runner_sizes(config, model_config, source, {});
  return {.weight_bytes = needs->weight_bytes,
          .workspace_bytes = needs->workspace_bytes + sizes.step_bytes() +
                             sizing.work_bytes(work_shape(config, model_config, source)),
          .block_bytes = sizes.block_bytes(),
          .feature_bytes = model_config.vision ? sizes.feature_bytes() : 0};
}

MemoryReport plan_memory(Ranks& ranks, const EngineConfig& config,
                         const model::ModelConfig& model_config, const ModelSource& source) {
  std::vector<ops::Backend::MemoryInfo> infos(ranks.size());
  on_all(ranks,
         [&](RankWorker::Rank& rank, int index) { infos[index] = rank.backend->memory_info(); });
  ops::Backend::MemoryInfo least = infos[0];
  for (const auto& info : infos) least.free_bytes = std::min(least.free_bytes, info.free_bytes);
  const int sharing = least.shared_by_ranks ? static_cast<int>(ranks.size()) : 1;
  return ranks[0]
      ->call([&](RankWorker::Rank& rank) {
        return plan_device_memory(config, least, sharing, [&](int tokens) {
          return rank_needs(config, model_config, source, rank.backend->sizing(), tokens);
        });
      })
      .get();
}

}  // namespace

std::unique_ptr<Engine> start_engine(const model::ModelConfig& model_config, EngineConfig config,
                                     const BackendFactory& make_backend, const ModelSource& source,
                                     const CommunicatorFactory& make_communicators) {
  check_config(config, model_config);
  Ranks ranks = make_ranks(config.tensor_parallel_size, make_communicators);
  on_all(ranks, [&](RankWorker::Rank& rank, int index) { rank.backend = make_backend(index); });
  const MemoryReport memory = plan_memory(ranks, config, model_config, source);
  const auto limits =
      ranks[0]
          ->call([](RankWorker::Rank& rank) { return rank.backend->sizing().sampler_limits(); })
          .get();
  log::debug("memory: {}", memory.to_string());
  on_all(ranks, [&](RankWorker::Rank& rank, int index) {
    rank.model = source.load(load_options(config, model_config, index), *rank.backend, rank.comm);
    rank.runner = std::make_unique<ModelRunner>(runner_sizes(config, model_config, source, memory),
                                                *rank.backend, *rank.model);
    rank.backend->reserve_work(work_shape(config, model_config, source));
    const bool reports = index == 0 && config.on_capture_progress;
    if (config.tensor_parallel_size > 1) {
      rank.comm.set_rehearsal(true);
      rank.runner->rehearse();
      rank.comm.set_rehearsal(false);
    }
    rank.runner->warm_up(reports ? config.on_capture_progress : [](int, int) {});
  });
  return std::make_unique<EngineLoop>(
      EngineLoop::Parts{.model_config = model_config,
                        .config = config,
                        .limits = step_limits(config, model_config),
                        .scheduler = {.num_blocks = memory.num_blocks,
                                      .block_size = config.block_size,
                                      .max_num_seqs = config.max_num_seqs,
                                      .max_num_batched_tokens = config.max_num_batched_tokens,
                                      .enable_prefix_caching = config.enable_prefix_caching,
                                      .enable_chunked_prefill = config.enable_chunked_prefill,
                                      .disable_chunked_mm_input = config.disable_chunked_mm_input,
                                      .check_invariants = source.check_invariants},
                        .memory = memory,
                        .sampler_limits = limits,
                        .ranks = std::move(ranks)});
}

std::unique_ptr<Engine> Engine::start(const model::ModelConfig& model_config,
                                      const EngineConfig& config,
                                      const BackendFactory& make_backend,
                                      const CommunicatorFactory& make_communicators) {
  const int ranks = config.tensor_parallel_size;
  if (const Status divides = model::check_tensor_parallel(model_config, ranks); !divides) {
    throw StartError(divides.error().message);
  }
#ifdef NDEBUG
  constexpr bool kCheckInvariants = false;
#else
  constexpr bool kCheckInvariants = true;
#endif
  return start_engine(
      config.text_only ? model::without_vision(model_config) : model_config, config, make_backend,
      {.plan =
           [=](const model::LoadOptions& options, const ops::Sizing& sizing) {
             return model::plan_memory(model_config, options, ranks, sizing);
           },
       .load =
           [=](const model::LoadOptions& options, ops::Backend& backend, Communicator& comm) {
             return model::load_model(model_config, config.model_dir, options, backend, comm);
           },
       .ranks = ranks,
       .check_invariants = kCheckInvariants},
      make_communicators);
}

}  // namespace ernie::engine
