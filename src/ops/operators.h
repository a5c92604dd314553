#pragma once

#include "ops/params.h"

namespace ernie::ops {

// What a device computes. The public calls check types and shapes, where a mistake is a CHECK
// failure; backends implement the others. Calls may return before the work is done.
class Operators {
 public:
  virtual ~Operators() = default;

  void embed(const EmbedArgs& args);
  void linear(const LinearArgs& args);
  void rms_norm(const RmsNormArgs& args);
  void residual_rms_norm(const ResidualRmsNormArgs& args);
  void layer_norm(const LayerNormArgs& args);
  void add(const AddArgs& args);
  void cast(const CastArgs& args);
  void swiglu(const SwiGluArgs& args);
  void rope_kv_write(const RopeKvWriteArgs& args);
  void paged_attention(const PagedAttentionArgs& args);
  void moe_route(const MoeRouteArgs& args);
  void moe_experts(const MoeExpertsArgs& args);
  void vision_rope(const VisionRopeArgs& args);
  void vision_attention(const VisionAttentionArgs& args);
  void normalize_patches(const NormalizePatchesArgs& args);
  void gather_rows(const GatherRowsArgs& args);
  void resolve_tokens(const ResolveTokensArgs& args);

 protected:
  virtual void do_embed(const EmbedArgs& args) = 0;
  virtual void do_linear(const LinearArgs& args) = 0;
  virtual void do_rms_norm(const RmsNormArgs& args) = 0;
  virtual void do_residual_rms_norm(const ResidualRmsNormArgs& args) = 0;
  virtual void do_layer_norm(const LayerNormArgs& args) = 0;
  virtual void do_add(const AddArgs& args) = 0;
  virtual void do_cast(const CastArgs& args) = 0;
  virtual void do_swiglu(const SwiGluArgs& args) = 0;
  virtual void do_rope_kv_write(const RopeKvWriteArgs& args) = 0;
  virtual void do_paged_attention(const PagedAttentionArgs& args) = 0;
  virtual void do_moe_route(const MoeRouteArgs& args) = 0;
  virtual void do_moe_experts(const MoeExpertsArgs& args) = 0;
  virtual void do_vision_rope(const VisionRopeArgs& args) = 0;
  virtual void do_vision_attention(const VisionAttentionArgs& args) = 0;
  virtual void do_normalize_patches(const NormalizePatchesArgs& args) = 0;
  virtual void do_gather_rows(const GatherRowsArgs& args) = 0;
  virtual void do_resolve_tokens(const ResolveTokensArgs& args) = 0;
};

}  // namespace ernie::ops
