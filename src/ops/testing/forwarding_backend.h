#pragma once

#include <memory>
#include <utility>

#include "ops/backend.h"

namespace ernie::ops {

// Passes everything on to another backend; tests override what they watch or change.
class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> to) : to_(std::move(to)) {}

  std::string name() const override { return to_->name(); }
  Buffer allocate(size_t bytes) override { return to_->allocate(bytes); }
  void copy_to_device(void* dst, const void* src, size_t bytes) override {
    to_->copy_to_device(dst, src, bytes);
  }
  void copy_to_host(void* dst, const void* src, size_t bytes) override {
    to_->copy_to_host(dst, src, bytes);
  }
  void synchronize() override { to_->synchronize(); }
  MemoryInfo memory_info() override { return to_->memory_info(); }

  const Sizing& sizing() const override { return to_->sizing(); }
  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                       const PackSpec& spec) override {
    return to_->pack_stacked(parts, spec);
  }
  std::unique_ptr<Weight> pack_quantized(std::span<const QuantizedHostMatrix> parts,
                                         const PackSpec& spec) override {
    return to_->pack_quantized(parts, spec);
  }
  std::unique_ptr<ExpertSet> make_experts(ExpertWeights weights) override {
    return to_->make_experts(std::move(weights));
  }

  void prepare_draw(std::span<const SampleRow> rows) override { to_->prepare_draw(rows); }
  void draw(TensorView logits, TensorView tokens) override { to_->draw(logits, tokens); }
  std::shared_ptr<PendingSamples> finish_step(int rows) override { return to_->finish_step(rows); }

 protected:
  void do_embed(const EmbedArgs& a) override { to_->embed(a); }
  void do_linear(const LinearArgs& a) override { to_->linear(a); }
  void do_rms_norm(const RmsNormArgs& a) override { to_->rms_norm(a); }
  void do_residual_rms_norm(const ResidualRmsNormArgs& a) override { to_->residual_rms_norm(a); }
  void do_layer_norm(const LayerNormArgs& a) override { to_->layer_norm(a); }
  void do_add(const AddArgs& a) override { to_->add(a); }
  void do_cast(const CastArgs& a) override { to_->cast(a); }
  void do_swiglu(const SwiGluArgs& a) override { to_->swiglu(a); }
  void do_rope_kv_write(const RopeKvWriteArgs& a) override { to_->rope_kv_write(a); }
  void do_paged_attention(const PagedAttentionArgs& a) override { to_->paged_attention(a); }
  void do_moe_route(const MoeRouteArgs& a) override { to_->moe_route(a); }
  void do_moe_experts(const MoeExpertsArgs& a) override { to_->moe_experts(a); }
  void do_vision_rope(const VisionRopeArgs& a) override { to_->vision_rope(a); }
  void do_vision_attention(const VisionAttentionArgs& a) override { to_->vision_attention(a); }
  void do_normalize_patches(const NormalizePatchesArgs& a) override { to_->normalize_patches(a); }
  void do_gather_rows(const GatherRowsArgs& a) override { to_->gather_rows(a); }
  void do_resolve_tokens(const ResolveTokensArgs& a) override { to_->resolve_tokens(a); }

  std::unique_ptr<Backend> to_;
};

}  // namespace ernie::ops
