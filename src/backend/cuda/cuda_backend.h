#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/device_weight.h"
#include "backend/cuda/host_copies.h"
#include "backend/cuda/result_slots.h"
#include "backend/cuda/staging_ring.h"
#include "backend/cuda/work_buffer.h"
#include "kernels/common/element_type.h"
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

  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                       DType activation) override;
  std::unique_ptr<Weight> pack_generated(std::span<const GeneratedMatrix> parts, DType activation,
                                         int sum_parts) override;
  size_t packed_bytes(int64_t out_features, int64_t in_features, DType activation) const override;

  void embed(const Weight& table, int64_t first_row, TensorView ids, TensorView out) override;
  void linear(const ops::LinearArgs& args) override;
  void rms_norm(const ops::NormArgs& args) override;
  void residual_rms_norm(const ops::ResidualRmsNormArgs& args) override;
  void layer_norm(const ops::NormArgs& args) override;
  void add(TensorView x, TensorView inout) override;
  void cast(TensorView in, TensorView out) override;
  void swiglu(const ops::SwiGluArgs& args) override;
  void rope_kv_write(const ops::RopeKvWriteArgs& args) override;
  void paged_attention(const ops::PagedAttentionArgs& args) override;
  void moe_route(const ops::MoeRouteArgs& args) override;
  void moe_experts(const ops::MoeExpertsArgs& args) override;
  void vision_rope(const ops::VisionRopeArgs& args) override;
  void vision_attention(const ops::VisionAttentionArgs& args) override;
  void normalize_patches(const ops::NormalizePatchesArgs& args) override;
  void gather_rows(TensorView in, TensorView rows, TensorView out) override;
  void scatter_rows(TensorView in, TensorView rows, TensorView out) override;
  void resolve_tokens(TensorView drawn, TensorView sources, TensorView ids) override;
  void prepare_draw(std::span<const ops::SampleRow> rows, ops::SamplingClass sampling) override;
  void draw(TensorView logits, TensorView tokens) override;
  std::shared_ptr<ops::PendingSamples> finish_step(int rows) override;

  size_t work_bytes(const ops::WorkShape& shape) const override;
  void reserve_work(const ops::WorkShape& shape) override;
  bool has_graphs() const override { return true; }
  std::unique_ptr<ops::Graph> capture(const std::function<void()>& issue) override;

  // For a communicator that issues on it.
  cudaStream_t native_stream() const { return stream(); }

 private:
  cudaStream_t stream() const { return stream_.get(); }
  void upload(void* dst, const void* src, size_t bytes) { staging_.upload(dst, src, bytes); }

  static size_t draw_bytes(const ops::WorkShape& shape);
  void reserve_draws(const ops::WorkShape& shape);

  // Pointers to the experts' weights of one layer in device memory, made on its first step.
  struct ExpertTable;
  const ExpertTable& expert_table(const ops::MoeExpertsArgs& args, DType dtype);

  int device_;
  Stream stream_;  // made first: it sets the thread's device
  StagingRing staging_;
  SlabArena weights_{allocate_device};
  bool frozen_ = false;
  HostCopies host_copies_;
  // Weights of this backend that are gone, and how many were when the tables were last cleared.
  std::shared_ptr<uint64_t> weights_freed_ = std::make_shared<uint64_t>(0);
  uint64_t tables_cleared_at_ = 0;
  std::unordered_map<const void*, std::unique_ptr<ExpertTable>> expert_tables_;
  WorkBuffer attention_, router_logits_, router_arrivals_, experts_, segments_, sampling_rows_,
      sampling_lists_, sampling_results_, sampling_;
  std::shared_ptr<ResultSlots> result_slots_ = std::make_shared<ResultSlots>();
  Buffer linear_workspace_, linear_sums_;
  std::unique_ptr<kernels::Linear> linear_;
};

// The kernels' name of an activation type; a CHECK failure for other types.
kernels::ElementType element_type(DType dtype);

}  // namespace ernie::cuda
