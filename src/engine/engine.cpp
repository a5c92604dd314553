#include "engine/engine.h"

#include "base/check.h"
#include "base/log.h"
#include "engine/config_check.h"
#include "engine/engine_loop.h"
#include "engine/memory_plan.h"
#include "engine/model_source.h"
#include "engine/plan.h"
#include "engine/rank_sizes.h"

namespace ernie::engine {
namespace {

using Ranks = std::vector<std::unique_ptr<RankWorker>>;

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

MemoryReport plan_memory(Ranks& ranks, const EngineConfig& config,
                         const model::ModelConfig& model_config, const ModelSource& source) {
  std::vector<ops::Backend::MemoryInfo> infos(ranks.size());
  on_all(ranks,
         [&](RankWorker::Rank& rank, int index) { infos[index] = rank.backend->memory_info(); });
  ops::Backend::MemoryInfo least = infos[0];
  for (const auto& info : infos) least.free_bytes = std::min(least.free_bytes, info.free_bytes);
  return ranks[0]
      ->call([&](RankWorker::Rank& rank) {
        return plan_ranks(config, model_config, source, least, rank.backend->sizing());
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
                                      .check_invariants = config.check_invariants},
                        .memory = memory,
                        .sampler_limits = limits,
                        .ranks = std::move(ranks)});
}

std::unique_ptr<Engine> Engine::start(const model::ModelConfig& model_config,
                                      const EngineConfig& config,
                                      const BackendFactory& make_backend,
                                      const CommunicatorFactory& make_communicators) {
  const model::ModelConfig stored = stored_model(model_config, config);
  return start_engine(
      served_model(stored, config), config, make_backend,
      {.plan = weight_planner(stored, config),
       .load =
           [=](const model::LoadOptions& options, ops::Backend& backend, Communicator& comm) {
             return model::load_model(stored, config.model_dir, options, backend, comm);
           },
       .ranks = config.tensor_parallel_size},
      make_communicators);
}

}  // namespace ernie::engine
