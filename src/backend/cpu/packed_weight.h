#pragma once

#include <cstddef>
#include <span>

#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"
#include "ops/sizing.h"

namespace ernie::cpu {

// Bytes of one panel of 16 output features with `k` input features; see kernels.h for the layout.
size_t panel_bytes(DType dtype, int64_t k);

// A matrix in panels of float32 or bfloat16.
class PackedWeight : public Weight {
 public:
  PackedWeight(std::span<const HostMatrix> parts, const ops::PackSpec& spec, Buffer storage,
               ThreadPool& pool);

  DType dtype() const { return format().dtype(); }
  // How many parts the sum over in_features has with kernels of this granularity.
  int sum_parts(int k_step) const {
    return in_features() % (int64_t{sum_parts_} * k_step) == 0 ? sum_parts_ : 1;
  }
  int panels() const { return static_cast<int>((out_features() + kPanel - 1) / kPanel); }
  const char* panel(int64_t index) const {
    return static_cast<const char*>(storage_.data()) + static_cast<size_t>(index) * panel_bytes_;
  }
  // Copies row `index` of W, [in_features] of dtype().
  void copy_row(int64_t index, void* out) const;

  static size_t bytes_for(int64_t out_features, int64_t in_features, DType dtype);

 private:
  int sum_parts_;
  size_t panel_bytes_;
  Buffer storage_;
};

}  // namespace ernie::cpu
