#include "engine/config_check.h"

#include <fmt/format.h>

#include <limits>

namespace ernie::engine {
namespace {

void require(bool ok, const std::string& message) {
  if (!ok) throw StartError(message);
}

}  // namespace

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
  require(c.late_threads >= 1,
          fmt::format("late draws need at least 1 thread, got {}", c.late_threads));
}

}  // namespace ernie::engine
