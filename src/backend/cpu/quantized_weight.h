#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"
#include "ops/sizing.h"

namespace ernie::cpu {

// A matrix in panels of int8 or int4 with bfloat16 scales; a weight is q * scale. kernels.h has the
// layout. It multiplies with activations of either type.
class QuantizedWeight : public Weight {
 public:
  // Quantises; see ops/quantize.h.
  QuantizedWeight(std::span<const HostMatrix> parts, const ops::PackSpec& spec, Buffer storage,
                  ThreadPool& pool);
  QuantizedWeight(std::span<const QuantizedHostMatrix> parts, const ops::PackSpec& spec,
                  Buffer storage, ThreadPool& pool);

  // How many parts the sum over in_features has with kernels of this granularity.
  int sum_parts(int k_step) const;
  QuantizedPanels panels(int64_t first) const;
  // Copies row `index` of W, [in_features] of `dtype`: q * scale, exact in float32.
  void copy_row(int64_t index, DType dtype, void* out) const;

  static size_t bytes_for(int64_t out_features, int64_t in_features, WeightFormat format);

 private:
  struct PanelLayout {
    int64_t scales;  // bytes from the panel's begin to its scales
    int64_t bytes;
    PanelLayout(int64_t k, WeightFormat format);
  };
  QuantizedWeight(int64_t out_features, int64_t in_features, const ops::PackSpec& spec,
                  Buffer storage);
  int value(int64_t row, int64_t column) const;
  // Calls row(index, q, scales) for every row, to fill q [padded in_features] and scales [groups],
  // and writes the panels.
  template <class Row>
  void fill_panels(ThreadPool& pool, const Row& row);
  int64_t groups() const;

  int sum_parts_;
  PanelLayout layout_;
  Buffer storage_;
};

}  // namespace ernie::cpu
