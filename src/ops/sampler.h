#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ops/sampling.h"
#include "tensor/tensor.h"

namespace ernie::ops {

// Draws tokens. A draw takes three calls, so that the middle one can be part of a graph.
class Sampler {
 public:
  virtual ~Sampler() = default;

  // `rows` say how to draw, within Sizing::sampler_limits(), and must stay valid until draw().
  virtual void prepare_draw(std::span<const SampleRow> rows) = 0;
  // One token per row of logits [rows, vocab] float32, which may be overwritten, into tokens [rows]
  // int32 (-1 after a fault), or data == nullptr.
  virtual void draw(TensorView logits, TensorView tokens) = 0;
  // Results of the first `rows` rows drawn last, when all that was issued so far is done.
  virtual std::shared_ptr<PendingSamples> finish_step(int rows) = 0;

  // All of it, and waits.
  std::vector<SampleResult> sample(TensorView logits, std::span<const SampleRow> rows) {
    prepare_draw(rows);
    draw(logits, {});
    return finish_step(static_cast<int>(rows.size()))->wait();
  }
};

}  // namespace ernie::ops
