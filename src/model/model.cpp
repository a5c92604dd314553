#include "model/model.h"

#include "base/log.h"
#include "model/ernie45_vl/ernie45_vl.h"
#include "model/tensor_parallel.h"

namespace ernie::model {

namespace {

Status check_shards(const ModelConfig& config, const LoadOptions& options, int ranks) {
  const Status divides = check_tensor_parallel(config, ranks);
  return divides ? check_quantization(config, options.quantization, ranks) : divides;
}

}  // namespace

// Every architecture that parse_config() accepts belongs to the one family there is.
std::unique_ptr<Model> load_model(const ModelConfig& config, const std::string& model_dir,
                                  const LoadOptions& options, ops::Backend& backend,
                                  Communicator& comm) {
  const Status fits = check_shards(config, options, comm.size());
  if (!fits) throw StartError(fits.error().message);
  const std::unique_ptr<WeightSource> source = options.choice == LoadChoice::kDummy
                                                   ? make_dummy_source(config, options.seed)
                                                   : open_checkpoint_source(config, model_dir);
  if (comm.rank() == 0) {
    log::info("loading {}: {:.1f} million parameters in {}, {} ranks; {}", config.architecture,
              static_cast<double>(count_parameters(config)) * 1e-6,
              describe(options.quantization, options.activation), comm.size(), source->describe());
  }
  return ernie45_vl::build(config, options, *source, backend, comm);
}

Result<MemoryNeeds> plan_memory(const ModelConfig& config, const LoadOptions& options,
                                int tensor_parallel_size, const ops::Sizing& sizing) {
  const Status fits = check_shards(config, options, tensor_parallel_size);
  if (!fits) return fits.error();
  const ernie45_vl::Needs needs =
      ernie45_vl::plan(config, options, {0, tensor_parallel_size}, &sizing);
  return MemoryNeeds{needs.weight_bytes, needs.workspace_bytes};
}

ops::KvLayout kv_layout(const ModelConfig& config, DType type, int tensor_parallel_size,
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
                       .head_dim = config.head_dim,
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

}  // namespace ernie::model
