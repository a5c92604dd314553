#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/packed_weight.h"
#include "backend/cpu/rope_cache.h"
#include "backend/cpu/sampler.h"
#include "base/thread_pool.h"
#include "ops/backend.h"

namespace ernie::cpu {

class WeightPanels;

// Host memory that is kept from call to call and only grows.
class Scratch {
 public:
  void* get(size_t bytes) {
    if (bytes > buffer_.bytes()) {
      buffer_ = Buffer();  // the old one goes before the new one comes
      buffer_ = allocate_host(bytes);
    }
    return buffer_.data();
  }
  template <typename T>
  T* get_array(int64_t n) {
    return static_cast<T*>(get(static_cast<size_t>(n) * sizeof(T)));
  }

 private:
  Buffer buffer_;
};

class CpuBackend final : public ops::Backend {
 public:
  explicit CpuBackend(const CpuBackendOptions& options);

  std::string name() const override;
  Buffer allocate(size_t bytes) override { return allocate_host(bytes); }
  void copy_to_device(void* dst, const void* src, size_t bytes) override;
  void copy_to_host(void* dst, const void* src, size_t bytes) override;
  void synchronize() override {}
  MemoryInfo memory_info() override { return host_memory(); }

  const ops::Sizing& sizing() const override;
  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                       const ops::PackSpec& spec) override;
  std::unique_ptr<Weight> pack_quantized(std::span<const QuantizedHostMatrix> parts,
                                         const ops::PackSpec& spec) override;

  void prepare_draw(std::span<const ops::SampleRow> rows) override;
  void draw(TensorView logits, TensorView tokens) override;
  std::shared_ptr<ops::PendingSamples> finish_step(int rows) override;

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

  const TypedKernels& typed(DType dtype) const;
  // Calls body(first, count) over [0, n) in pieces of at least `grain`, on several threads when it
  // pays.
  template <class Body>
  void for_ranges(int64_t n, int64_t grain, const Body& body);
  // Room for `bytes` on each thread; thread t's begins at t * returned stride.
  char* thread_scratch(size_t bytes, size_t& stride);
  void linear_in_slices(const ops::LinearArgs& args, const WeightPanels& weight);
  void run_attention(const TypedKernels& kernels, std::vector<AttentionTask>& tasks);
  void norm_rows(const TypedKernels& kernels, NormRows rows, DType dtype,
                 void (*kernel)(const NormRows&));
  struct MoeRows;
  void moe_chunk(const ops::MoeExpertsArgs& args, int64_t first, int64_t count);

  Isa isa_;
  const Kernels& kernels_;
  ThreadPool pool_;
  RopeCache rope_;
  RopeCache vision_rope_;
  std::vector<AttentionTask> attention_tasks_;
  std::vector<RowSampler> samplers_;  // one per thread
  std::span<const ops::SampleRow> draw_rows_;
  std::vector<ops::SampleResult> drawn_;
  Scratch packed_, hidden_, packed_hidden_, keys_, values_, threads_;
};

template <class Body>
void CpuBackend::for_ranges(int64_t n, int64_t grain, const Body& body) {
  const int64_t most = int64_t{pool_.threads()} * 4;
  const int64_t pieces = std::max<int64_t>(1, std::min(most, n / std::max<int64_t>(grain, 1)));
  pool_.parallel_for(pieces, [&](int64_t i, int) {
    const int64_t begin = n * i / pieces;
    const int64_t end = n * (i + 1) / pieces;
    if (end > begin) body(begin, end - begin);
  });
}

}  // namespace ernie::cpu
