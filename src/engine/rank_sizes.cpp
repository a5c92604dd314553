#include "engine/rank_sizes.h"

#include <algorithm>

#include "engine/memory_plan.h"
#include "sched/sequence.h"

namespace ernie::engine {
namespace {

// More sequences than this are bound by the device, not by launches.
int graph_seqs(const EngineConfig& config) {
  constexpr int kMost = 256;
  return config.max_graph_seqs > 0 ? std::min(config.max_graph_seqs, config.max_num_seqs)
                                   : std::min(kMost, config.max_num_seqs);
}

// What one rank needs with a budget of `tokens` per step.
DeviceNeeds rank_needs(EngineConfig config, const model::ModelConfig& model_config,
                       const ModelSource& source, const ops::Sizing& sizing, int tokens) {
  config.max_num_batched_tokens = tokens;
  const auto needs = take(source.plan(load_options(config, model_config, 0), sizing));
  const RunnerSizes sizes = runner_sizes(config, model_config, source, {});
  return {.weight_bytes = needs.weight_bytes,
          .workspace_bytes = needs.workspace_bytes + sizes.step_bytes() +
                             sizing.work_bytes(work_shape(config, model_config, source)),
          .block_bytes = sizes.block_bytes(),
          .feature_bytes = model_config.vision ? sizes.feature_bytes() : 0};
}

}  // namespace

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

RunnerSizes runner_sizes(const EngineConfig& config, const model::ModelConfig& model_config,
                         const ModelSource& source, const MemoryReport& memory) {
  return {.limits = step_limits(config, model_config),
          .max_blocks_per_seq = sched::blocks_for(config.max_model_len, config.block_size),
          .vocab_size = model_config.vocab_size,
          .num_blocks = memory.num_blocks,
          .num_layers = model_config.num_layers,
          .kv = model::kv_layout(model_config, config.kv_type(), source.ranks, config.block_size),
          .activation = config.dtype,
          .max_graph_seqs = config.use_graphs ? graph_seqs(config) : 0,
          .hidden_size = model_config.hidden_size,
          .encoder_cache_rows = memory.encoder_cache_tokens};
}

ops::WorkShape work_shape(const EngineConfig& config, const model::ModelConfig& model_config,
                          const ModelSource& source) {
  ops::WorkShape shape =
      model::work_shape(model_config, load_options(config, model_config, 0), source.ranks);
  shape.kv = model::kv_layout(model_config, config.kv_type(), source.ranks, config.block_size);
  shape.max_context =
      sched::blocks_for(config.max_model_len, config.block_size) * config.block_size;
  return shape;
}

MemoryReport plan_ranks(const EngineConfig& config, const model::ModelConfig& model_config,
                        const ModelSource& source, const ops::Device::MemoryInfo& least,
                        const ops::Sizing& sizing) {
  return plan_device_memory(
      config, least, least.shared_by_ranks ? config.tensor_parallel_size : 1,
      [&](int tokens) { return rank_needs(config, model_config, source, sizing, tokens); });
}

}  // namespace ernie::engine
