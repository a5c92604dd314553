#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/batch_inputs.h"
#include "engine/step_arrays.h"
#include "model/model.h"
#include "ops/backend.h"

namespace ernie::engine {

// Sizes of what a rank keeps on its device besides the model.
struct RunnerSizes {
  model::StepLimits limits;
  int max_blocks_per_seq = 0;
  int vocab_size = 0;
  int num_blocks = 0;
  int num_layers = 0;
  ops::KvLayout kv;
  DType activation = DType::kBF16;
  int max_graph_seqs = 0;  // steps of up to so many sequences are captured; 0 = no graphs
  int hidden_size = 0;
  int encoder_cache_rows = 0;  // one for each token of a kept picture

  StepShape largest_step() const;
  size_t step_bytes() const;     // inputs and logits of one step
  size_t block_bytes() const;    // keys and values of one block, all layers
  size_t feature_bytes() const;  // one row of the encoder cache
};

// The batch sizes that graphs are captured for, up to `most`: all small ones, then ever fewer.
std::vector<int> capture_sizes(int most);

// Runs steps on one rank: host arrays to device memory, model, draws. Owns the key-value cache and
// the encoder cache. All device memory is allocated by the constructor. Used by the rank's thread
// only.
//
// Decode steps of text are graphs where the backend has them: one graph for each captured batch
// size, from the resolved tokens to the logits. A batch between two sizes is padded with rows that
// have no token, whose hidden state is zero: they write nothing, and share one choice of experts.
class ModelRunner {
 public:
  ModelRunner(const RunnerSizes& sizes, ops::Backend& backend, model::Model& model);

  // Runs steps of many sizes, so that the code they take is loaded: a device that waits for another
  // rank inside a collective cannot load any.
  void rehearse();

  // Runs what must not happen for the first time in service, and captures the graphs. With ranks,
  // all of them at once. `captured(done, all)` reports progress.
  void warm_up(const std::function<void(int, int)>& captured);

  // Issues one step and returns what waits for its draws, one per entry of batch.samples; none when
  // they are not asked for. Waits for late samples when all before them is issued.
  std::shared_ptr<ops::PendingSamples> start(const BatchInputs& batch, bool wants_samples);

 private:
  // A step that changes nothing: of the first tokens of so many sequences.
  void run_empty(int tokens, int seqs, bool vision);
  void run_prefill(int tokens);
  struct DecodeGraph {
    StepShape shape;
    std::unique_ptr<ops::Graph> graph;
  };

  StepShape decode_shape(int seqs) const;
  const DecodeGraph* graph_for(const BatchInputs& batch) const;
  StepArrays upload(const BatchInputs& batch, const StepShape& shape);
  void issue_forward(const BatchInputs& batch);
  // What a decode step issues on the device before its draws.
  void issue_decode(const StepArrays& arrays);
  void draw(const BatchInputs& batch);
  TensorView logits(int rows) const;
  model::ModelInput input_of(const StepArrays& arrays) const;

  const RunnerSizes sizes_;
  ops::Backend& backend_;
  model::Model& model_;
  std::vector<Buffer> kv_buffers_;
  model::KvCache cache_;
  Buffer encoder_cache_;
  Buffer inputs_, logits_;
  Buffer drawn_;  // [max_seqs] int32: tokens of the last step, by sample
  std::vector<char> host_inputs_;
  bool rehearsing_ = false;
  std::map<int, DecodeGraph> graphs_;  // by batch size
  std::vector<ops::SampleRow> draw_rows_;
};

}  // namespace ernie::engine
