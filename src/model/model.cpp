#include "model/model.h"

#include <algorithm>

#include "base/log.h"
#include "model/ernie45_vl/ernie45_vl.h"
#include "model/ernie45_vl/tensor_specs.h"
#include "model/ernie45_vl/weight_parts.h"
#include "model/pack_source.h"
#include "model/tensor_parallel.h"

namespace ernie::model {

namespace {

// The options with the formats that the matrices will have; an error when they cannot be cut so.
Result<LoadOptions> resolve(const ModelConfig& config, LoadOptions options, int ranks) {
  if (config.packed_ranks > 0 && config.packed_ranks != ranks &&
      options.choice == LoadChoice::kCheckpoint) {
    return invalid_argument("--tensor-parallel-size: expected " +
                                std::to_string(config.packed_ranks) +
                                ", for which ernie pack has cut this model, found " +
                                std::to_string(ranks) + "; pack it again for another size",
                            "tensor_parallel_size");
  }
  const Status divides = check_tensor_parallel(config, ranks);
  if (!divides) return divides.error();
  const Result<Quantization> formats = resolve_quantization(config, options.quantization);
  if (!formats) return formats.error();
  options.quantization = *formats;
  const Status whole_groups = check_quantization(config, *options.quantization, ranks);
  if (!whole_groups) return whole_groups.error();
  return options;
}

std::unique_ptr<WeightSource> open_source(const ModelConfig& config, const std::string& model_dir,
                                          const LoadOptions& options, const Shard& shard) {
  if (options.choice == LoadChoice::kDummy) return make_dummy_source(config, options.seed);
  return config.packed_ranks > 0 ? open_pack_source(config, model_dir, shard)
                                 : open_checkpoint_source(config, model_dir);
}

}  // namespace

// Every architecture that parse_config() accepts belongs to the one family there is.
std::unique_ptr<Model> load_model(const ModelConfig& config, const std::string& model_dir,
                                  const LoadOptions& wanted, ops::Backend& backend,
                                  Communicator& comm) {
  const LoadOptions options = take(resolve(config, wanted, comm.size()));
  const std::unique_ptr<WeightSource> source =
      open_source(config, model_dir, options, {comm.rank(), comm.size()});
  if (comm.rank() == 0) {
    log::info("loading {}: {:.1f} million parameters in {}, {}; {}", config.architecture,
              static_cast<double>(count_parameters(config)) * 1e-6,
              describe(*options.quantization, options.activation),
              comm.size() == 1 ? "1 rank" : std::to_string(comm.size()) + " ranks",
              source->describe());
  }
  return ernie45_vl::build(config, options, *source, backend, comm);
}

ModelConfig with_stored_head(ModelConfig config, const std::string& model_dir) {
  if (!config.tie_word_embeddings) return config;
  const std::unique_ptr<WeightSource> source =
      open_source(config, model_dir, {}, {0, std::max(config.packed_ranks, 1)});
  config.tie_word_embeddings = !source->has(ernie45_vl::head_spec(config));
  return config;
}

Result<MemoryNeeds> plan_memory(const ModelConfig& config, const LoadOptions& options,
                                int tensor_parallel_size, const ops::Sizing& sizing) {
  const Result<LoadOptions> resolved = resolve(config, options, tensor_parallel_size);
  if (!resolved) return resolved.error();
  const ernie45_vl::Needs needs =
      ernie45_vl::plan(config, *resolved, {0, tensor_parallel_size}, &sizing);
  return MemoryNeeds{needs.weight_bytes, needs.workspace_bytes};
}

ops::KvLayout kv_layout(const ModelConfig& config, KvType type, int tensor_parallel_size,
                        int block_size) {
  return {.type = type,
          .block_size = block_size,
          .kv_heads = kv_heads_per_rank(config, tensor_parallel_size),
          .head_dim = config.head_dim};
}

ops::WorkShape work_shape(const ModelConfig& config, const LoadOptions& options,
                          int tensor_parallel_size) {
  ops::WorkShape shape{.max_tokens = options.limits.max_tokens,
                       .max_seqs = options.limits.max_seqs,
                       .vocab = config.vocab_size,
                       .hidden = config.hidden_size,
                       .q_heads = config.num_heads / tensor_parallel_size,
                       .activation = options.activation};
  if (!config.moe) return shape;
  const MoeConfig& moe = *config.moe;
  shape.top_k = moe.top_k;
  const auto width = [&](const ExpertGroup& group) {
    return int64_t{group.intermediate_size} / tensor_parallel_size;
  };
  shape.expert_groups.push_back({moe.text.num_experts, width(moe.text)});
  if (moe.vision.num_experts > 0 && !options.text_only) {
    shape.expert_groups.push_back({moe.vision.num_experts, width(moe.vision)});
  }
  shape.shared_width = moe.num_shared_experts * width(moe.text);
  return shape;
}

int64_t count_parameters(const ModelConfig& config) {
  return ernie45_vl::plan(config, {}, {}, nullptr).parameters;
}

Result<PartSizes> count_parts(const ModelConfig& config, const LoadOptions& options,
                              int tensor_parallel_size, const ops::Sizing& sizing) {
  const Result<LoadOptions> resolved = resolve(config, options, tensor_parallel_size);
  if (!resolved) return resolved.error();
  return ernie45_vl::count_parts(config, *resolved, {0, tensor_parallel_size}, sizing);
}

}  // namespace ernie::model
