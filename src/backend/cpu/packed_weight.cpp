#include "backend/cpu/packed_weight.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tensor/bf16.h"

namespace ernie::cpu {
namespace {

float element(const HostMatrix& m, int64_t index) {
  return m.dtype == DType::kF32 ? static_cast<const float*>(m.data)[index]
                                : to_float(static_cast<const BF16*>(m.data)[index]);
}

void pack_f32_panel(const HostMatrix& m, int64_t first, int64_t rows, float* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = (first + r) * m.in_features;
    for (int64_t k = 0; k < m.in_features; ++k) out[k * kPanel + r] = element(m, row + k);
  }
}

void pack_bf16_panel(const HostMatrix& m, int64_t first, int64_t rows, BF16* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = (first + r) * m.in_features;
    for (int64_t k = 0; k < m.in_features; ++k) {
      const BF16 v = m.dtype == DType::kBF16 ? static_cast<const BF16*>(m.data)[row + k]
                                             : to_bf16(element(m, row + k));
      out[k / 2 * (2 * kPanel) + r * 2 + k % 2] = v;
    }
  }
}

}  // namespace

size_t panel_bytes(DType dtype, int64_t k) {
  const int64_t depth = dtype == DType::kBF16 ? (k + kBf16KStep - 1) / kBf16KStep * kBf16KStep : k;
  return static_cast<size_t>(depth * kPanel) * dtype_bytes(dtype);
}

size_t PackedWeight::bytes_for(int64_t out_features, int64_t in_features, DType activation) {
  return static_cast<size_t>((out_features + kPanel - 1) / kPanel) *
         panel_bytes(activation, in_features);
}

PackedWeight::PackedWeight(const HostMatrix& matrix, DType activation, Buffer storage,
                           ThreadPool& pool)
    : Weight(matrix.out_features, matrix.in_features),
      dtype_(activation),
      sum_parts_(matrix.sum_parts),
      panel_bytes_(panel_bytes(activation, matrix.in_features)),
      storage_(std::move(storage)) {
  bytes_ = bytes_for(matrix.out_features, matrix.in_features, activation);
  CHECK(storage_.bytes() >= bytes_, "the storage of a packed weight is too small");
  pool.parallel_for(panels(), [&](int64_t p, int) {
    char* out = static_cast<char*>(storage_.data()) + static_cast<size_t>(p) * panel_bytes_;
    const int64_t rows = std::min<int64_t>(kPanel, matrix.out_features - p * kPanel);
    if (dtype_ == DType::kF32) {
      pack_f32_panel(matrix, p * kPanel, rows, reinterpret_cast<float*>(out));
    } else {
      pack_bf16_panel(matrix, p * kPanel, rows, reinterpret_cast<BF16*>(out));
    }
  });
}

void PackedWeight::copy_row(int64_t index, void* out) const {
  const char* from = panel(index / kPanel);
  const int64_t lane = index % kPanel;
  if (dtype_ == DType::kF32) {
    const float* in = reinterpret_cast<const float*>(from) + lane;
    for (int64_t k = 0; k < in_features(); ++k) static_cast<float*>(out)[k] = in[k * kPanel];
    return;
  }
  const BF16* in = reinterpret_cast<const BF16*>(from) + lane * 2;
  for (int64_t k = 0; k < in_features(); ++k) {
    static_cast<BF16*>(out)[k] = in[k / 2 * (2 * kPanel) + k % 2];
  }
}

}  // namespace ernie::cpu
