#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/element_type.h"

// The memory that the kernels of an MoE layer work in, from the shapes alone.
namespace ernie::kernels {

constexpr int kRouterTokenTile = 16;  // tokens that share one arrival counter

// MoeRouterParams::logits and arrivals; `experts` of the modality that has more.
constexpr size_t moe_router_logits_bytes(int tokens, int experts) {
  return static_cast<size_t>(tokens) * static_cast<size_t>(experts) * sizeof(float);
}
constexpr size_t moe_router_arrivals_bytes(int tokens) {
  return static_cast<size_t>((tokens + kRouterTokenTile - 1) / kRouterTokenTile) * sizeof(uint32_t);
}

// What decides the size of launch_moe_experts()'s workspace, which grows with tokens.
struct MoeExpertsShape {
  ElementType type = ElementType::kBF16;
  int tokens = 0;
  int hidden = 0;
  int top_k = 0;
  int experts = 0;  // without the shared one
  int widest = 0;   // intermediate size of the widest expert, the shared one included
  bool has_shared = false;
};

// Where the parts of that workspace begin, in bytes, each at a multiple of 256.
struct MoeExpertsWorkspace {
  explicit constexpr MoeExpertsWorkspace(const MoeExpertsShape& s) {
    const auto tokens = static_cast<size_t>(s.tokens);
    const size_t pairs = tokens * static_cast<size_t>(s.top_k);
    const size_t rows = pairs + (s.has_shared ? tokens : 0);
    offsets = take((static_cast<size_t>(s.experts) + 1) * sizeof(int32_t));
    row_token = take(rows * sizeof(int32_t));
    pair_row = take(pairs * sizeof(int32_t));
    inner = take(rows * static_cast<size_t>(s.widest) * element_bytes(s.type));
    result = take(rows * static_cast<size_t>(s.hidden) * sizeof(float));
  }
  size_t bytes = 0;
  size_t offsets = 0, row_token = 0, pair_row = 0, inner = 0, result = 0;

 private:
  constexpr size_t take(size_t part) {
    const size_t begin = bytes;
    bytes += (part + 255) / 256 * 256;
    return begin;
  }
};

}  // namespace ernie::kernels
