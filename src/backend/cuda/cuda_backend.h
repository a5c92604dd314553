#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/host_copies.h"
#include "backend/cuda/result_slots.h"
#include "backend/cuda/staging_ring.h"
#include "backend/cuda/weight_packer.h"
#include "backend/cuda/work_buffer.h"
#include "backend/cuda_sizing/kernel_types.h"
#include "kernels/linear/linear.h"
#include "ops/backend.h"

namespace ernie::cuda {

// The operators on one device and one stream.
class CudaBackend final : public ops::Backend {
 public:
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  std::string name() const override;
  Buffer allocate(size_t bytes) override { return allocate_device(bytes); }
  void copy_to_device(void* dst, const void* src, size_t bytes) override;
  void copy_to_host(void* dst, const void* src, size_t bytes) override;
  void synchronize() override { stream_.synchronize(); }
  MemoryInfo memory_info() override { return device_memory(); }

  const ops::Sizing& sizing() const override;
  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                       const ops::PackSpec& spec) override;
  std::unique_ptr<Weight> pack_generated(std::span<const GeneratedMatrix> parts,
                                         const ops::PackSpec& spec) override;
  std::unique_ptr<Weight> pack_quantized(std::span<const QuantizedHostMatrix> parts,
                                         const ops::PackSpec& spec) override;
  std::unique_ptr<ExpertSet> make_experts(ExpertWeights weights) override;

  void prepare_draw(std::span<const ops::SampleRow> rows) override;
  void draw(TensorView logits, TensorView tokens) override;
  std::shared_ptr<ops::PendingSamples> finish_step(int rows) override;

  void reserve_work(const ops::WorkShape& shape) override;
  bool has_graphs() const override { return true; }
  std::unique_ptr<ops::Graph> capture(const std::function<void()>& issue) override;

  // For a communicator that issues on it.
  cudaStream_t native_stream() const { return stream(); }

 private:
  void do_embed(const ops::EmbedArgs& args) override;
  void do_linear(const ops::LinearArgs& args) override;
  void do_rms_norm(const ops::RmsNormArgs& args) override;
  void do_residual_rms_norm(const ops::ResidualRmsNormArgs& args) override;
  void do_layer_norm(const ops::LayerNormArgs& args) override;
  void do_add(const ops::AddArgs& args) override;
  void do_cast(const ops::CastArgs& args) override;
  void do_swiglu(const ops::SwiGluArgs& args) override;
  void do_rope_kv_write(const ops::RopeKvWriteArgs& args) override;
  void do_paged_attention(const ops::PagedAttentionArgs& args) override;
  void do_moe_route(const ops::MoeRouteArgs& args) override;
  void do_moe_experts(const ops::MoeExpertsArgs& args) override;
  void do_vision_rope(const ops::VisionRopeArgs& args) override;
  void do_vision_attention(const ops::VisionAttentionArgs& args) override;
  void do_normalize_patches(const ops::NormalizePatchesArgs& args) override;
  void do_gather_rows(const ops::GatherRowsArgs& args) override;
  void do_resolve_tokens(const ops::ResolveTokensArgs& args) override;

  cudaStream_t stream() const { return stream_.get(); }
  void upload(void* dst, const void* src, size_t bytes) { staging_.upload(dst, src, bytes); }

  void reserve_draws(const ops::WorkShape& shape);

  int device_;
  Stream stream_;  // made first: it sets the thread's device
  StagingRing staging_;
  WeightPacker packer_{stream_.get(), staging_};
  bool frozen_ = false;
  HostCopies host_copies_;
  WorkBuffer attention_, router_logits_, router_arrivals_, scratch_, segments_, sampling_rows_,
      sampling_lists_, sampling_results_, sampling_;
  const uint32_t* masks_ = nullptr;  // in sampling_lists_, of the draws prepared last
  std::shared_ptr<ResultSlots> result_slots_ = std::make_shared<ResultSlots>();
  Buffer linear_workspace_, linear_sums_;
  std::unique_ptr<kernels::Linear> linear_;
};

}  // namespace ernie::cuda
