#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/weight.h"
#include "tensor/bf16.h"
#include "tensor/kv_type.h"
#include "tensor/tensor.h"

// Parameter structures of the backend's operators. T stands for the activation type (float32 or
// bfloat16). Arithmetic inside an operator is float32; results are rounded once when stored. Every
// operator computes each row independently of the other rows in the batch, bit for bit.
namespace ernie::ops {

enum class Activation : uint8_t {
  kNone,
  kQuickGelu,  // x * sigmoid(1.702 x)
  kGeluErf,    // x * Phi(x), exact
};

// out[i] = row ids[i] - first_row of the table, or zeros when it does not hold that row.
struct EmbedArgs {
  const Weight* table = nullptr;  // [rows, width] T
  int64_t first_row = 0;
  TensorView ids;  // [n] int32
  TensorView out;  // [n, width] T
};

// out = act(x * W^T + bias)
struct LinearArgs {
  const Weight* weight = nullptr;  // [out, in]
  TensorView x;                    // [rows, in] T
  TensorView bias;                 // [out] T, or data == nullptr
  Activation activation = Activation::kNone;
  TensorView out;  // [rows, out] T or float32
};

struct RmsNormArgs {
  TensorView x;       // [rows, width] T
  TensorView weight;  // [width] T
  float eps = 1e-5f;
  TensorView out;  // [rows, width] T; may be x
};

struct LayerNormArgs {
  TensorView x;       // [rows, width] T
  TensorView weight;  // [width] T
  TensorView bias;    // [width] T
  float eps = 1e-5f;
  TensorView out;  // [rows, width] T; may be x
};

// residual += x (rounded to T), then out = RMSNorm(residual).
struct ResidualRmsNormArgs {
  TensorView x;         // [rows, width] T
  TensorView residual;  // [rows, width] T, updated
  TensorView weight;    // [width] T
  float eps = 1e-5f;
  TensorView out;  // [rows, width] T
};

// inout += x
struct AddArgs {
  TensorView x;      // [..] T
  TensorView inout;  // likewise
};

// float32 <-> bfloat16
struct CastArgs {
  TensorView in;
  TensorView out;
};

// How keys and values are stored: in pages of block_size tokens. Memory order of each of keys and
// values is [num_blocks, kv_heads, block_size * head_dim]; the order inside one block of one head
// is the backend's own, so only whole blocks may be copied.
struct KvLayout {
  KvType type = KvType::kBF16;
  int block_size = 64;
  int kv_heads = 0;  // on this rank
  int head_dim = 0;

  // Keys, or values, of one block in one layer.
  size_t page_bytes() const {
    return tokens_and_heads() * static_cast<size_t>(head_dim) * dtype_bytes(element_dtype(type));
  }
  // The scales of one block in one layer.
  size_t scale_bytes() const {
    return is_quantized(type) ? tokens_and_heads() * 2 * sizeof(BF16) : 0;
  }
  // All of one block in one layer.
  size_t block_bytes() const { return 2 * page_bytes() + scale_bytes(); }

 private:
  size_t tokens_and_heads() const {
    return static_cast<size_t>(block_size) * static_cast<size_t>(kv_heads);
  }
};

// The keys and values of one layer on one rank.
struct KvLayer {
  TensorView keys;  // [num_blocks, kv_heads, block_size, head_dim] element_dtype(layout.type)
  TensorView values;
  // Of a quantised cache: [num_blocks, kv_heads, block_size, 2] bfloat16, a token's scale of the
  // key and that of the value side by side, so that one access fetches both.
  TensorView scales;
  KvLayout layout;
};

// Three-axis rotary embedding on adjacent pairs (2i, 2i+1): angle = position[axis[i]] *
// inv_freq[i].
struct RopeTable {
  std::vector<float> inv_freq;  // [head_dim / 2]
  std::vector<uint8_t> axis;    // [head_dim / 2], 0 = t, 1 = h, 2 = w
};

// Rotates q and k inside qkv and writes k and v, quantised where the cache is (ops/quantize_kv.h),
// into their cache slots.
struct RopeKvWriteArgs {
  TensorView
      qkv;  // [tokens, (q_heads + 2 kv_heads) * head_dim] T: all q heads, all k heads, all v heads
  TensorView positions;  // [tokens, 3] int32 (t, h, w)
  TensorView slots;      // [tokens] int32: block * block_size + offset; nothing is written below 0
  const RopeTable* rope = nullptr;
  int q_heads = 0;
  KvLayer kv;
};

// The sequences of one step, as attention needs them. Arrays are in device memory, int32.
struct AttentionBatch {
  int num_seqs = 0;
  int max_query_len = 0;
  TensorView query_start;   // [num_seqs + 1]: first row of each sequence's queries
  TensorView context_len;   // [num_seqs]: keys visible to the last query, including itself; 0 for
                            // a row that pads a graph, which gets zeros
  TensorView block_tables;  // [num_seqs, max_blocks]
  // The first two on the host. May be empty where max_query_len is 1, as when a graph is captured.
  std::span<const int32_t> host_query_start;
  std::span<const int32_t> host_context_len;
};

// Causal grouped-query attention of new tokens over the paged cache. scale = head_dim^-0.5. Over a
// quantised cache a backend may leave the rounding of cell * scale out, or round the product of
// weight and scale instead.
struct PagedAttentionArgs {
  TensorView qkv;  // as in RopeKvWriteArgs, q already rotated; only the q part is read
  const AttentionBatch* batch = nullptr;
  int q_heads = 0;
  KvLayer kv;
  TensorView out;  // [tokens, q_heads * head_dim] T
};

// out[i] = silu(gate_up[i][0..width)) * gate_up[i][width..2 width)
struct SwiGluArgs {
  TensorView gate_up;  // [rows, 2 * width] T
  TensorView out;      // [rows, width] T
};

// A router chooses among the experts of one group.
struct RouterGroup {
  TensorView weight;  // [experts, hidden] float32
  TensorView bias;    // [experts] float32, or empty
};
constexpr int kMaxExpertGroups = 2;

// Routers of one MoE layer: probabilities over the experts of the token's own group, top-k of
// (probability + bias), weights = chosen probabilities / max(sum, norm_min), rounded to T.
struct MoeRouteArgs {
  TensorView x;                         // [tokens, hidden] T
  std::span<const RouterGroup> groups;  // at most kMaxExpertGroups
  TensorView token_group;               // [tokens] uint8: the group of each token
  bool first_group_only = true;         // every token is of group 0, whatever token_group says
  int top_k = 0;
  float norm_min = 1e-12f;
  TensorView expert_ids;      // out [tokens, top_k] int32
  TensorView expert_weights;  // out [tokens, top_k] float32
};

// out[t] = sum over the chosen experts e of weight * Down_e(swiglu(GateUp_e(x[t]))), then the
// shared expert with weight 1, accumulated in float32.
struct MoeExpertsArgs {
  TensorView x;           // [tokens, hidden] T
  TensorView expert_ids;  // [tokens, top_k] int32
  TensorView expert_weights;
  const ExpertSet* experts = nullptr;
  TensorView out;  // [tokens, hidden] T or float32
};

// Rotary embedding of the vision tower: half-rotate over head_dim, angles (row, col) * theta^(-2j /
// (head_dim / 2)).
struct VisionRopeArgs {
  TensorView
      qkv;  // [patches, 3 * heads * head_dim] T: q heads, k heads, v heads; q and k are rotated
  TensorView positions;  // [patches, 2] int32 (row, col)
  int heads = 0;
  int head_dim = 0;
  float theta = 10000.0f;
};

// Full (non-causal) attention inside each segment. scale = head_dim^-0.5.
struct VisionAttentionArgs {
  TensorView qkv;                          // as above, already rotated
  std::span<const int32_t> segment_start;  // host, [segments + 1]
  int heads = 0;
  int head_dim = 0;
  TensorView out;  // [patches, heads * head_dim] T
};

// out = (pixel / 255 - mean[c]) / std[c]; a patch vector is ordered (channel, row, column).
struct NormalizePatchesArgs {
  TensorView patches;  // [patches, channels * patch * patch] uint8
  float mean[3] = {};
  float std[3] = {};
  TensorView out;  // [patches, channels * patch * patch] T
};

// out[i] = in[rows[i]]
struct GatherRowsArgs {
  TensorView in;
  TensorView rows;  // [n] int32 in device memory
  TensorView out;   // [n, ..]
};

// ids[i] = drawn[sources[i]] where sources[i] >= 0. All int32, ids and sources of equal length.
struct ResolveTokensArgs {
  TensorView drawn;
  TensorView sources;
  TensorView ids;
};

}  // namespace ernie::ops
