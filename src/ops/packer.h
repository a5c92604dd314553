#pragma once

#include <memory>
#include <span>

#include "ops/generated_matrix.h"
#include "ops/sizing.h"
#include "ops/weight.h"

namespace ernie::ops {

// Prepares weights.
class Packer {
 public:
  virtual ~Packer() = default;

  virtual const Sizing& sizing() const = 0;

  // Makes one matrix of the parts' rows, one part under the other; parts have the same in_features
  // and dtype, and may be changed or freed afterwards.
  virtual std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                               const PackSpec& spec) = 0;
  std::unique_ptr<Weight> pack(const HostMatrix& matrix, const PackSpec& spec) {
    return pack_stacked(std::span(&matrix, 1), spec);
  }
  // The same of rows that are quantised already in the format of `spec`.
  virtual std::unique_ptr<Weight> pack_quantized(std::span<const QuantizedHostMatrix> parts,
                                                 const PackSpec& spec) = 0;
  // The same of generated values, which are made on the device where it can; the default makes them
  // in host memory. The values do not depend on where.
  virtual std::unique_ptr<Weight> pack_generated(std::span<const GeneratedMatrix> parts,
                                                 const PackSpec& spec);

  // Of weights that this backend packed, gate_up as kExpertGateUp.
  virtual std::unique_ptr<ExpertSet> make_experts(ExpertWeights weights) {
    return std::make_unique<ExpertSet>(std::move(weights));
  }
};

}  // namespace ernie::ops
