#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops/params.h"
#include "ops/sampling.h"
#include "ops/weight.h"
#include "tensor/tensor.h"

namespace ernie::ops {

// What a device must be able to do. One instance per rank, used only by that rank's thread.
// Operators may run asynchronously; copy_to_host() and synchronize() wait for what was issued
// before.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // for example "cpu (avx2, 2 threads)"

  // Memory. allocate() throws StartError with the sizes when the device is full.
  virtual Buffer allocate(size_t bytes) = 0;
  virtual void copy_to_device(void* dst, const void* src, size_t bytes) = 0;
  virtual void copy_to_host(void* dst, const void* src, size_t bytes) = 0;
  virtual void synchronize() = 0;

  // Bytes of device memory in total and now free for this process; other processes' use counts as
  // used.
  struct MemoryInfo {
    size_t total_bytes = 0;
    size_t free_bytes = 0;
    bool shared_by_ranks = true;  // all ranks of this process draw on the same memory
  };
  virtual MemoryInfo memory_info() = 0;

  // Weights. packed_bytes() is what pack() will take for such a matrix, for planning.
  virtual std::unique_ptr<Weight> pack(const HostMatrix& matrix, DType activation) = 0;
  virtual size_t packed_bytes(int64_t out_features, int64_t in_features,
                              DType activation) const = 0;

  // Operators.
  // out[i] = table row (ids[i] - first_row), or zeros when the table does not hold it. ids [n]
  // int32.
  virtual void embed(const Weight& table, int64_t first_row, TensorView ids, TensorView out) = 0;
  virtual void linear(const LinearArgs& args) = 0;
  virtual void rms_norm(const NormArgs& args) = 0;
  virtual void residual_rms_norm(const ResidualRmsNormArgs& args) = 0;
  virtual void layer_norm(const NormArgs& args) = 0;
  virtual void add(TensorView x, TensorView inout) = 0;  // inout += x
  virtual void cast(TensorView in, TensorView out) = 0;  // float32 <-> bfloat16
  virtual void swiglu(const SwiGluArgs& args) = 0;
  virtual void rope_kv_write(const RopeKvWriteArgs& args) = 0;
  virtual void paged_attention(const PagedAttentionArgs& args) = 0;
  virtual void moe_route(const MoeRouteArgs& args) = 0;
  virtual void moe_experts(const MoeExpertsArgs& args) = 0;
  virtual void vision_rope(const VisionRopeArgs& args) = 0;
  virtual void vision_attention(const VisionAttentionArgs& args) = 0;
  virtual void normalize_patches(const NormalizePatchesArgs& args) = 0;

  // out[i] = in[rows[i]]; rows [n] int32 in device memory.
  virtual void gather_rows(TensorView in, TensorView rows, TensorView out) = 0;
  // out[rows[i]] = in[i]
  virtual void scatter_rows(TensorView in, TensorView rows, TensorView out) = 0;

  // One result per row of logits [rows, vocab] float32; the logits may be overwritten.
  virtual std::vector<SampleResult> sample(TensorView logits, std::span<const SampleRow> rows,
                                           SamplingClass sampling) = 0;
};

}  // namespace ernie::ops
