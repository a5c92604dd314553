#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "ops/generated_matrix.h"
#include "ops/params.h"
#include "ops/sampling.h"
#include "ops/weight.h"
#include "tensor/tensor.h"

namespace ernie::ops {

// The largest step that a backend will be asked for.
struct WorkShape {
  int max_tokens = 0;
  int max_seqs = 0;
  int max_context = 0;  // keys of one sequence, a multiple of the block size
  int vocab = 0;
  int hidden = 0;
  int q_heads = 0;  // of this rank, as the widths below
  int head_dim = 0;
  int top_k = 0;  // 0: no experts
  int text_experts = 0;
  int vision_experts = 0;
  int text_width = 0;
  int vision_width = 0;
  int shared_width = 0;
  DType dtype = DType::kBF16;
};

// Recorded work of a device, to be issued again at the price of one launch.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void replay() = 0;
};

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

  // Memory that operators work in, for planning; reserve_work() takes it. After that operators
  // allocate nothing for steps within the shape, and a larger one is a CHECK failure. A backend
  // whose work memory does not count needs neither.
  virtual size_t work_bytes(const WorkShape&) const { return 0; }
  virtual void reserve_work(const WorkShape&) {}

  // Whether capture() works. A graph holds addresses, not contents: what is uploaded between
  // replays takes effect.
  virtual bool has_graphs() const { return false; }
  // Records what `issue` issues, without running it. It must not upload, download or allocate, so
  // the same work has to be run once before.
  virtual std::unique_ptr<Graph> capture(const std::function<void()>& issue);

  // Weights. Makes one of the parts' rows, one part under the other; parts have the same
  // in_features, dtype and sum_parts, and may be changed or freed afterwards. packed_bytes() is
  // what such a matrix will take, for planning.
  virtual std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                               DType activation) = 0;
  std::unique_ptr<Weight> pack(const HostMatrix& matrix, DType activation) {
    return pack_stacked(std::span(&matrix, 1), activation);
  }
  // The same of generated values, which are made on the device where it can; the default makes them
  // in host memory. The values do not depend on where. sum_parts: see HostMatrix.
  virtual std::unique_ptr<Weight> pack_generated(std::span<const GeneratedMatrix> parts,
                                                 DType activation, int sum_parts);
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

  // ids[i] = drawn[sources[i]] where sources[i] >= 0. All int32, ids and sources of equal length.
  virtual void resolve_tokens(TensorView drawn, TensorView sources, TensorView ids) = 0;

  // Drawing takes three calls, so that the middle one can be part of a graph. `rows` say how to
  // draw and must stay valid until draw().
  virtual void prepare_draw(std::span<const SampleRow> rows, SamplingClass sampling) = 0;
  // One token per row of logits [rows, vocab] float32, which may be overwritten, into tokens [rows]
  // int32 (-1 after a fault), or data == nullptr.
  virtual void draw(TensorView logits, TensorView tokens) = 0;
  // Results of the first `rows` rows drawn last, when all that was issued so far is done.
  virtual std::shared_ptr<PendingSamples> finish_step(int rows) = 0;

  // All of it, and waits.
  std::vector<SampleResult> sample(TensorView logits, std::span<const SampleRow> rows,
                                   SamplingClass sampling) {
    prepare_draw(rows, sampling);
    draw(logits, {});
    return finish_step(static_cast<int>(rows.size()))->wait();
  }
};

inline std::unique_ptr<Graph> Backend::capture(const std::function<void()>&) {
  CHECK(false, name() + " has no graphs");
  return nullptr;
}

}  // namespace ernie::ops
