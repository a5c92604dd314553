#include "backend/cpu/weight_panels.h"

#include <algorithm>

#include "base/check.h"

namespace ernie::cpu {
namespace {

// Panels are expanded slice by slice, each small enough for the second-level cache beside the rows.
constexpr int kExpandedPanels = 4;
constexpr size_t kExpandedBytes = size_t{64} << 10;
constexpr int64_t kGroupSumsLd = kExpandedPanels * kPanel;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

int64_t expanded_columns(const TypedKernels& kernels) {
  return static_cast<int64_t>(kExpandedBytes) / (kExpandedPanels * kPanel * kernels.expanded_bytes);
}

QuantizedPanels skip(QuantizedPanels panels, int count) {
  panels.values += count * panels.stride;
  panels.scales += count * panels.scale_stride / static_cast<int64_t>(sizeof(Bf16Bits));
  return panels;
}

ScaleTile scale_of(const GemmTile& sums, const QuantizedPanels& panels) {
  ScaleTile s;
  s.c = sums.c;
  s.ldc = sums.ldc;
  s.rows = sums.rows;
  s.panels = sums.panels;
  s.scales = panels.scales;
  s.stride = panels.scale_stride;
  s.out = sums.c;
  s.out_ld = sums.ldc;
  return s;
}

}  // namespace

WeightPanels::WeightPanels(const Weight& weight, const TypedKernels& kernels)
    : kernels_(kernels),
      packed_(dynamic_cast<const PackedWeight*>(&weight)),
      quantized_(dynamic_cast<const QuantizedWeight*>(&weight)),
      out_features_(weight.out_features()),
      in_features_(weight.in_features()) {
  CHECK(packed_ != nullptr || quantized_ != nullptr, "the weight was packed by another backend");
}

int WeightPanels::sum_parts() const {
  return packed_ ? packed_->sum_parts(kernels_.gemm_k_step)
                 : quantized_->sum_parts(kernels_.gemm_k_step);
}

size_t WeightPanels::scratch_bytes(int64_t rows) const {
  if (packed_ || rows <= kernels_.direct_rows) return 0;
  const int64_t sums =
      quantized_->format().group == 0 ? 0 : round_up(rows, kernels_.gemm_row_step) * kGroupSumsLd;
  return kExpandedBytes + static_cast<size_t>(sums) * sizeof(float);
}

void WeightPanels::multiply(GemmTile tile, int64_t panel, char* scratch) const {
  if (packed_) {
    tile.b = packed_->panel(panel);
    kernels_.gemm(tile);
  } else if (tile.rows <= kernels_.direct_rows) {
    kernels_.gemm_quantized(tile, quantized_->panels(panel));
  } else {
    multiply_expanded(tile, quantized_->panels(panel), scratch);
  }
}

void WeightPanels::multiply_expanded(const GemmTile& tile, const QuantizedPanels& panels,
                                     char* scratch) const {
  auto* const group_sums = reinterpret_cast<float*>(scratch + kExpandedBytes);
  const int64_t columns = expanded_columns(kernels_);
  for (int p = 0; p < tile.panels; p += kExpandedPanels) {
    GemmTile g = tile;
    g.panels = std::min(kExpandedPanels, tile.panels - p);
    g.c = tile.c + p * kPanel;
    g.b = scratch;
    g.next_b = nullptr;
    const QuantizedPanels from = skip(panels, p);
    for (int64_t k = tile.k_begin; k < tile.k_end; k += columns) {
      const int64_t end = std::min(k + columns, tile.k_end);
      kernels_.expand({from, g.panels, k, end, scratch});
      g.b_begin = k;
      g.b_k = round_up(end - k, kBf16KStep);
      g.k_begin = k;
      g.k_end = end;
      g.add = tile.add || k > tile.k_begin;
      if (panels.group == 0) {
        kernels_.gemm_expanded(g);
        continue;
      }
      if (kernels_.gemm_expanded_groups != nullptr) {
        QuantizedPanels expanded = from;
        expanded.values = scratch;
        expanded.stride = g.b_k * kPanel * kernels_.expanded_bytes;
        expanded.scales += k / panels.group * kPanel;
        kernels_.gemm_expanded_groups(g, expanded);
        continue;
      }
      GemmTile sums = g;
      sums.c = group_sums;
      sums.ldc = kGroupSumsLd;
      sums.add = false;
      for (sums.k_begin = k; sums.k_begin < end; sums.k_begin = sums.k_end) {
        sums.k_end = std::min(sums.k_begin + panels.group, end);
        kernels_.gemm_expanded(sums);
        ScaleTile s = scale_of(sums, from);
        s.scales += sums.k_begin / panels.group * kPanel;
        s.out = g.c;
        s.out_ld = g.ldc;
        s.add = tile.add || sums.k_begin > tile.k_begin;
        kernels_.scale_tile(s);
      }
    }
  }
}

void WeightPanels::finish(const GemmTile& tile, int64_t panel) const {
  if (packed_ || quantized_->format().group > 0) return;
  kernels_.scale_tile(scale_of(tile, quantized_->panels(panel)));
}

const void* WeightPanels::address(int64_t panel, int64_t k) const {
  if (!packed_) return nullptr;
  return packed_->panel(panel) + k * kPanel * static_cast<int64_t>(dtype_bytes(packed_->dtype()));
}

}  // namespace ernie::cpu
