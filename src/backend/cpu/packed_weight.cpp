#include "backend/cpu/packed_weight.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tensor/bf16.h"

namespace ernie::cpu {
namespace {

float widen(float v) { return v; }
float widen(BF16 v) { return to_float(v); }

// rows: pointers to the panel's rows of W, at most kPanel.
template <typename In>
void pack_f32_panel(std::span<const void* const> rows, int64_t k_count, float* out) {
  for (size_t r = 0; r < rows.size(); ++r) {
    const In* in = static_cast<const In*>(rows[r]);
    for (int64_t k = 0; k < k_count; ++k) out[k * kPanel + static_cast<int64_t>(r)] = widen(in[k]);
  }
}

uint32_t bits(float v) { return to_bf16(v).bits; }
uint32_t bits(BF16 v) { return v.bits; }

// One 32-bit store for each pair of inputs, in the order of the panel.
template <typename In>
void pack_bf16_panel(std::span<const void* const> rows, int64_t k_count, uint32_t* out) {
  for (int64_t k = 0; k < k_count; k += 2, out += kPanel) {
    for (size_t r = 0; r < rows.size(); ++r) {
      const In* in = static_cast<const In*>(rows[r]) + k;
      out[r] = k + 1 < k_count ? bits(in[0]) | bits(in[1]) << 16 : bits(in[0]);
    }
  }
}

template <typename In>
void pack_panel(std::span<const void* const> rows, int64_t k_count, DType dtype, void* out) {
  if (dtype == DType::kF32) {
    pack_f32_panel<In>(rows, k_count, static_cast<float*>(out));
  } else {
    pack_bf16_panel<In>(rows, k_count, static_cast<uint32_t*>(out));
  }
}

}  // namespace

size_t panel_bytes(DType dtype, int64_t k) {
  const int64_t depth = dtype == DType::kBF16 ? (k + kBf16KStep - 1) / kBf16KStep * kBf16KStep : k;
  return static_cast<size_t>(depth * kPanel) * dtype_bytes(dtype);
}

size_t PackedWeight::bytes_for(int64_t out_features, int64_t in_features, DType dtype) {
  return static_cast<size_t>((out_features + kPanel - 1) / kPanel) *
         panel_bytes(dtype, in_features);
}

PackedWeight::PackedWeight(std::span<const HostMatrix> parts, const ops::PackSpec& spec,
                           Buffer storage, ThreadPool& pool)
    : Weight(stacked_rows(parts), parts[0].in_features, spec.format),
      sum_parts_(spec.sum_parts),
      panel_bytes_(panel_bytes(dtype(), in_features())),
      storage_(std::move(storage)) {
  bytes_ = bytes_for(out_features(), in_features(), dtype());
  CHECK(storage_.bytes() >= bytes_, "the storage of a packed weight is too small");
  std::vector<const void*> rows;
  rows.reserve(static_cast<size_t>(out_features()));
  for (const HostMatrix& part : parts) {
    for (int64_t r = 0; r < part.out_features; ++r) rows.push_back(part.row(r));
  }
  const bool f32 = parts[0].dtype == DType::kF32;
  pool.parallel_for(panels(), [&](int64_t p, int) {
    char* out = static_cast<char*>(storage_.data()) + static_cast<size_t>(p) * panel_bytes_;
    const auto first = static_cast<size_t>(p) * kPanel;
    const auto panel_rows =
        std::span(rows).subspan(first, std::min<size_t>(kPanel, rows.size() - first));
    (f32 ? pack_panel<float> : pack_panel<BF16>)(panel_rows, in_features(), dtype(), out);
  });
}

void PackedWeight::copy_row(int64_t index, void* out) const {
  const char* from = panel(index / kPanel);
  const int64_t lane = index % kPanel;
  if (dtype() == DType::kF32) {
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
