#include "model/tensor_parallel.h"

#include <algorithm>

#include "model/model.h"

namespace ernie::model {

Slice Shard::kv_rows(const TensorSpec& spec, const ModelConfig& config) const {
  const int64_t heads = kv_heads_per_rank(config, size);
  const int64_t first = int64_t{rank} * config.num_kv_heads / size;
  return {first * config.head_dim, heads * config.head_dim, 0, spec.cols};
}

int kv_heads_per_rank(const ModelConfig& config, int tensor_parallel_size) {
  return std::max(1, config.num_kv_heads / tensor_parallel_size);
}

Status check_tensor_parallel(const ModelConfig& config, int tensor_parallel_size) {
  const int size = tensor_parallel_size;
  const auto refuse = [&](const std::string& what, int number) {
    return invalid_argument("--tensor-parallel-size: expected a size that divides " + what + " (" +
                                std::to_string(number) + "), found " + std::to_string(size),
                            "tensor_parallel_size");
  };
  if (size < 1) {
    return invalid_argument(
        "--tensor-parallel-size: expected at least 1, found " + std::to_string(size),
        "tensor_parallel_size");
  }
  if (config.num_heads % size != 0) return refuse("the attention heads", config.num_heads);
  if (config.num_kv_heads % size != 0 && size % config.num_kv_heads != 0) {
    return invalid_argument(
        "--tensor-parallel-size: expected a divisor or a multiple of the key/value heads (" +
            std::to_string(config.num_kv_heads) + "), found " + std::to_string(size),
        "tensor_parallel_size");
  }
  if (config.intermediate_size % size != 0) {
    return refuse("intermediate_size", config.intermediate_size);
  }
  if (config.vocab_size % size != 0) return refuse("vocab_size", config.vocab_size);
  if (config.moe) {
    for (const ExpertGroup& group : {config.moe->text, config.moe->vision}) {
      if (group.intermediate_size % size != 0) {
        return refuse("moe_intermediate_size", group.intermediate_size);
      }
    }
  }
  return {};
}

}  // namespace ernie::model
