#pragma once

#include <memory>
#include <vector>

#include "engine/batch_inputs.h"
#include "model/model.h"
#include "ops/backend.h"

namespace ernie::engine {

// Sizes of what a rank keeps on its device besides the model.
struct RunnerSizes {
  model::StepLimits limits;
  int max_blocks_per_seq = 0;
  int vocab_size = 0;
  int num_blocks = 0;
  int block_size = 0;
  int num_layers = 0;
  int kv_heads = 0;  // on this rank
  int head_dim = 0;
  DType dtype = DType::kBF16;

  size_t step_bytes() const;   // inputs and logits of one step
  size_t block_bytes() const;  // keys and values of one block, all layers
};

// Runs steps on one rank: host arrays to device memory, model, samples. Owns the key-value cache.
// All device memory is allocated by the constructor. Used by the rank's thread only.
class ModelRunner {
 public:
  ModelRunner(const RunnerSizes& sizes, ops::Backend& backend, model::Model& model);

  // Samples, one per entry of batch.samples, when asked for or when the next step needs the tokens.
  std::vector<ops::SampleResult> run(const BatchInputs& batch, ops::SamplingClass sampling,
                                     bool wants_samples);

 private:
  template <typename T>
  TensorView upload(Buffer& buffer, const std::vector<T>& values, DType dtype, Shape shape);
  TensorView upload_tokens(const BatchInputs& batch);
  std::vector<ops::SampleResult> sample(const BatchInputs& batch, TensorView logits,
                                        ops::SamplingClass sampling);
  int32_t drawn_before(int32_t sample) const;

  const RunnerSizes sizes_;
  ops::Backend& backend_;
  model::Model& model_;
  std::vector<Buffer> kv_buffers_;
  model::KvCache cache_;
  Buffer token_ids_, positions_, is_vision_, slots_, query_start_, context_len_, block_tables_,
      logits_rows_, logits_;
  std::vector<int32_t> drawn_;  // tokens of the last step, by sample
};

}  // namespace ernie::engine
