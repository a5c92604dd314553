#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/packed_weight.h"
#include "backend/cpu/quantized_weight.h"

namespace ernie::cpu {

// B of a product C = A * B: the panels of a weight that is packed in the activation type or
// quantised.
class WeightPanels {
 public:
  // `weight` is of this backend, else a CHECK failure. `kernels` are those of the activations'
  // type.
  WeightPanels(const Weight& weight, const TypedKernels& kernels);

  int64_t out_features() const { return out_features_; }
  int64_t in_features() const { return in_features_; }
  int sum_parts() const;
  // Bytes that multiply() takes of each thread for up to `rows` rows; a multiple of 64.
  size_t scratch_bytes(int64_t rows) const;

  // Fills tile.c with the product by tile.panels panels from `panel` on; tile.b and what describes
  // it are ignored. `scratch` is aligned to 64 bytes. The sums are complete after finish().
  void multiply(GemmTile tile, int64_t panel, char* scratch) const;
  // For sums that multiply() has begun and added to slice by slice.
  void finish(const GemmTile& tile, int64_t panel) const;
  // Where element `k` of the panel lies in memory as the kernels read it; null when they do not
  // read it directly.
  const void* address(int64_t panel, int64_t k) const;

 private:
  void multiply_expanded(const GemmTile& tile, const QuantizedPanels& panels, char* scratch) const;

  const TypedKernels& kernels_;
  const PackedWeight* packed_;
  const QuantizedWeight* quantized_;
  int64_t out_features_ = 0;
  int64_t in_features_ = 0;
};

}  // namespace ernie::cpu
