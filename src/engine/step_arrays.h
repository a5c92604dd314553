#pragma once

#include "engine/batch_inputs.h"
#include "tensor/tensor.h"

namespace ernie::engine {

struct StepShape {
  int tokens = 0;
  int seqs = 0;
  int max_blocks = 0;  // columns of the block table
  int samples = 0;

  friend bool operator==(const StepShape&, const StepShape&) = default;
};

// The arrays of one step as views of one piece of memory, so that one copy brings them to the
// device.
struct StepArrays {
  TensorView token_ids;      // [tokens] int32
  TensorView token_sources;  // [tokens] int32: the sample of the step before that is the token, or
                             // -1
  TensorView positions;      // [tokens, 3] int32
  TensorView is_vision;      // [tokens] uint8
  TensorView slots;          // [tokens] int32
  TensorView query_start;    // [seqs + 1] int32
  TensorView context_len;    // [seqs] int32
  TensorView block_tables;   // [seqs, max_blocks] int32
  TensorView logits_rows;    // [samples] int32
  size_t bytes = 0;

  // `base` may be nullptr when only bytes is wanted.
  StepArrays(const StepShape& shape, void* base);
};

StepShape shape_of(const BatchInputs& batch);

// Writes a step into host memory. The arrays may have more tokens and sequences than a batch of one
// token for each sequence: those that follow compute nothing that anybody reads.
void write_step(const BatchInputs& batch, const StepArrays& arrays);

}  // namespace ernie::engine
