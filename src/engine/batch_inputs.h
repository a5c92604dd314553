#pragma once

#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "engine/sequence_sampler.h"
#include "model/model.h"
#include "sched/step_plan.h"

namespace ernie::engine {

// One step as host arrays: everything a rank needs to run it. Built once by the engine thread, then
// shared by all ranks and never changed, so it says nothing that later steps could make untrue.
struct BatchInputs {
  std::vector<int32_t> token_ids;     // [tokens]; 0 where a token is not known yet
  std::vector<int32_t> positions;     // [tokens, 3]
  std::vector<uint8_t> is_vision;     // [tokens]
  std::vector<int32_t> slots;         // [tokens]
  std::vector<int32_t> query_start;   // [seqs + 1]
  std::vector<int32_t> context_len;   // [seqs]
  std::vector<int32_t> block_tables;  // [seqs, max_blocks], unused places 0
  std::vector<int32_t> logits_rows;   // [samples]
  int max_blocks = 0;
  int max_query_len = 0;
  bool any_vision = false;
  std::vector<model::ModelInput::Media> media;
  std::vector<SampleSpec> samples;
  std::vector<sched::SequenceId> sample_sequences;  // whose token samples[i] draws or scores

  // Places in `samples` of draws that depend on what the step before draws. The engine's thread
  // says how to draw them, in this order, when it knows that, while the device already runs this
  // step up to the draws.
  std::vector<int32_t> late;
  std::shared_future<std::vector<SampleSpec>> late_samples;  // valid if there are any

  // Row `row` takes the token that sample `sample` of the step before drew.
  struct PendingToken {
    int32_t row = 0;
    int32_t sample = 0;
  };
  std::vector<PendingToken> pending;
  std::vector<std::shared_ptr<const model::Prompt>> prompts;  // keeps the media units alive

  int num_tokens() const { return static_cast<int>(token_ids.size()); }
  int num_seqs() const { return static_cast<int>(context_len.size()); }
};

// A sequence of the plan, as the engine knows it.
struct BatchSource {
  const sched::Sequence* sequence = nullptr;
  const std::shared_ptr<const model::Prompt>* prompt = nullptr;
  SequenceSampler* sampler = nullptr;
};

// Turns a reserved plan into arrays. `before` is the step in flight, or nullptr.
BatchInputs build_batch(const sched::StepPlan& plan, int block_size, const BatchInputs* before,
                        const std::function<BatchSource(sched::SequenceId)>& source);

}  // namespace ernie::engine
