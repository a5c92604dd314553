#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/common/element_type.h"
#include "kernels/common/weight_format.h"

namespace ernie::kernels {

// How a bfloat16 expert MLP is computed. kAuto takes kSingle for one token; for more, on sm_90a
// where weight maps are given or weights are quantised and tokens more than kMaxDecodeTokens,
// kHopper; elsewhere kDecode up to kMaxDecodeTokens, else kAmpere.
enum class MoePath : uint8_t {
  kAuto,
  kSingle,  // one token; where experts are too wide for shared memory, kDecode takes its place
  kDecode,  // bound by memory: every active expert's weights are read once
  kAmpere,  // mma.sync and cp.async, from sm_80 on
  kHopper,  // wgmma, the weights by TMA; sm_90a
  // Quantised weights: kSingle, kDecode and kAmpere are one kernel, made for few tokens; it reads
  // weights again for every 16 tokens of an expert.
};

constexpr int kMaxDecodeTokens = 64;

// A TMA descriptor (CUtensorMap) of one bfloat16 weight matrix in device memory.
struct alignas(128) MoeWeightMap {
  unsigned char bytes[128];
};
// Fills in the map of weight [rows, cols], cols a multiple of 8, in 128 x 64 boxes. Host work only.
cudaError_t encode_moe_weight_map(const void* weight, int64_t rows, int64_t cols,
                                  MoeWeightMap* map);

// The experts of one MoE layer as one grouped problem: text experts, vision experts behind them and
// then the shared expert, if any. Experts that no token chose are not touched.
struct MoeExpertsParams {
  ElementType type = ElementType::kBF16;  // T
  const void* x = nullptr;                // [tokens, hidden] T
  const int32_t* expert_ids = nullptr;    // [tokens, top_k]; an id out of range counts as no expert
  const float* expert_weights = nullptr;  // [tokens, top_k]
  int tokens = 0;
  int hidden = 0;  // bfloat16: a multiple of 8, also the widths
  int top_k = 0;   // at most 8
  int text_experts = 0;
  int vision_experts = 0;  // both together at most 256
  int text_width = 0;
  int vision_width = 0;
  int shared_width = 0;  // 0: no shared expert
  // Either all are kNative or none is.
  WeightFormat text_format, vision_format, shared_format;
  // Device arrays with one pointer per expert, 16-byte aligned. kNative: row-major T.
  const void* const* gate_up = nullptr;  // to [2 * width, hidden], gate rows first, or kGateUp
  const void* const* down = nullptr;     // to [hidden, width], kPlain
  // Quantised experts: likewise to their scales.
  const void* const* gate_up_scales = nullptr;
  const void* const* down_scales = nullptr;
  // Device array, of kNative: the maps of each expert's gate_up and down in turn; null: kHopper is
  // not used.
  const MoeWeightMap* weight_maps = nullptr;
  void* out = nullptr;  // [tokens, hidden]
  ElementType out_type = ElementType::kBF16;
  void* workspace = nullptr;  // moe_experts_workspace_bytes(), 256-byte aligned, any contents
  MoePath path = MoePath::kAuto;
};

// From the shapes and types alone. Grows with tokens.
size_t moe_experts_workspace_bytes(const MoeExpertsParams& params);

// out[t] = sum over the chosen experts, in rising id order, of weight * Down(swiglu(GateUp(x[t]))),
// then the shared expert with weight 1. Intermediate activations are rounded to T, everything else
// is float32, rounded once.
//
// A token's result does not depend on the other tokens of the batch, but for the choice of the
// path: they add up k in different orders (but kAmpere and kHopper), and wgmma rounds its sums in
// its own way, so a token may differ in the last bits between a batch that takes one path and a
// batch that takes another.
cudaError_t launch_moe_experts(const MoeExpertsParams& params, cudaStream_t stream);

}  // namespace ernie::kernels
