#include "tests/ops/host_view_backend.h"

#include <map>
#include <utility>

#include "base/check.h"

namespace ernie::op_tests {
namespace {

// The device's copies of the operands of one call.
class Operands {
 public:
  explicit Operands(ops::Backend& device) : device_(device) {}

  TensorView read(TensorView host) { return copy(host, false); }
  TensorView write(TensorView host) { return copy(host, true); }
  ops::KvLayer read(const ops::KvLayer& kv) { return copy(kv, false); }
  ops::KvLayer write(const ops::KvLayer& kv) { return copy(kv, true); }

  void download() {
    for (const auto& [data, operand] : operands_) {
      if (operand.written) device_.copy_to_host(data, operand.memory.data(), operand.bytes);
    }
  }

 private:
  struct Operand {
    Buffer memory;
    size_t bytes = 0;
    bool written = false;
  };

  TensorView copy(TensorView host, bool written) {
    if (host.data == nullptr || host.bytes() == 0) return host;
    Operand& operand = operands_[host.data];
    if (operand.bytes == 0) {
      operand.bytes = host.bytes();
      operand.memory = device_.allocate(operand.bytes);
      device_.copy_to_device(operand.memory.data(), host.data, operand.bytes);
    }
    CHECK(operand.bytes == host.bytes(), "two views of different sizes begin at one address");
    operand.written |= written;
    return operand.memory.view(host.dtype, host.shape);
  }
  ops::KvLayer copy(ops::KvLayer kv, bool written) {
    kv.keys = copy(kv.keys, written);
    kv.values = copy(kv.values, written);
    return kv;
  }

  ops::Backend& device_;
  std::map<void*, Operand> operands_;
};

class HostViewBackend final : public ops::Backend {
 public:
  explicit HostViewBackend(std::unique_ptr<ops::Backend> device) : device_(std::move(device)) {}

  std::string name() const override { return device_->name(); }
  Buffer allocate(size_t bytes) override { return device_->allocate(bytes); }
  void copy_to_device(void* dst, const void* src, size_t bytes) override {
    device_->copy_to_device(dst, src, bytes);
  }
  void copy_to_host(void* dst, const void* src, size_t bytes) override {
    device_->copy_to_host(dst, src, bytes);
  }
  void synchronize() override { device_->synchronize(); }
  MemoryInfo memory_info() override { return device_->memory_info(); }
  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                       DType activation) override {
    return device_->pack_stacked(parts, activation);
  }
  size_t packed_bytes(int64_t out_features, int64_t in_features, DType activation) const override {
    return device_->packed_bytes(out_features, in_features, activation);
  }

  void embed(const Weight& table, int64_t first_row, TensorView ids, TensorView out) override {
    with_operands(
        [&](Operands& o) { device_->embed(table, first_row, o.read(ids), o.write(out)); });
  }
  void linear(const ops::LinearArgs& args) override {
    with_operands([&](Operands& o) {
      ops::LinearArgs a = args;
      a.x = o.read(a.x);
      a.bias = o.read(a.bias);
      a.out = o.write(a.out);
      device_->linear(a);
    });
  }
  void rms_norm(const ops::NormArgs& args) override {
    with_operands([&](Operands& o) { device_->rms_norm(norm(o, args)); });
  }
  void layer_norm(const ops::NormArgs& args) override {
    with_operands([&](Operands& o) { device_->layer_norm(norm(o, args)); });
  }
  void residual_rms_norm(const ops::ResidualRmsNormArgs& args) override {
    with_operands([&](Operands& o) {
      ops::ResidualRmsNormArgs a = args;
      a.x = o.read(a.x);
      a.residual = o.write(a.residual);
      a.weight = o.read(a.weight);
      a.out = o.write(a.out);
      device_->residual_rms_norm(a);
    });
  }
  void add(TensorView x, TensorView inout) override {
    with_operands([&](Operands& o) { device_->add(o.read(x), o.write(inout)); });
  }
  void cast(TensorView in, TensorView out) override {
    with_operands([&](Operands& o) { device_->cast(o.read(in), o.write(out)); });
  }
  void swiglu(const ops::SwiGluArgs& args) override {
    with_operands([&](Operands& o) { device_->swiglu({o.read(args.gate_up), o.write(args.out)}); });
  }
  void rope_kv_write(const ops::RopeKvWriteArgs& args) override {
    with_operands([&](Operands& o) {
      ops::RopeKvWriteArgs a = args;
      a.qkv = o.write(a.qkv);
      a.positions = o.read(a.positions);
      a.slots = o.read(a.slots);
      a.kv = o.write(a.kv);
      device_->rope_kv_write(a);
    });
  }
  void paged_attention(const ops::PagedAttentionArgs& args) override {
    with_operands([&](Operands& o) {
      ops::AttentionBatch batch = *args.batch;
      batch.query_start = o.read(batch.query_start);
      batch.context_len = o.read(batch.context_len);
      batch.block_tables = o.read(batch.block_tables);
      ops::PagedAttentionArgs a = args;
      a.batch = &batch;
      a.qkv = o.read(a.qkv);
      a.kv = o.read(a.kv);
      a.out = o.write(a.out);
      device_->paged_attention(a);
    });
  }
  void moe_route(const ops::MoeRouteArgs& args) override {
    with_operands([&](Operands& o) {
      ops::MoeRouteArgs a = args;
      a.x = o.read(a.x);
      a.is_vision = o.read(a.is_vision);
      for (int m = 0; m < 2; ++m) {
        a.router[m] = o.read(a.router[m]);
        a.bias[m] = o.read(a.bias[m]);
      }
      a.expert_ids = o.write(a.expert_ids);
      a.expert_weights = o.write(a.expert_weights);
      device_->moe_route(a);
    });
  }
  void moe_experts(const ops::MoeExpertsArgs& args) override {
    with_operands([&](Operands& o) {
      ops::MoeExpertsArgs a = args;
      a.x = o.read(a.x);
      a.expert_ids = o.read(a.expert_ids);
      a.expert_weights = o.read(a.expert_weights);
      a.out = o.write(a.out);
      device_->moe_experts(a);
    });
  }
  void vision_rope(const ops::VisionRopeArgs& args) override {
    with_operands([&](Operands& o) {
      ops::VisionRopeArgs a = args;
      a.qkv = o.write(a.qkv);
      a.positions = o.read(a.positions);
      device_->vision_rope(a);
    });
  }
  void vision_attention(const ops::VisionAttentionArgs& args) override {
    with_operands([&](Operands& o) {
      ops::VisionAttentionArgs a = args;
      a.qkv = o.read(a.qkv);
      a.out = o.write(a.out);
      device_->vision_attention(a);
    });
  }
  void normalize_patches(const ops::NormalizePatchesArgs& args) override {
    with_operands([&](Operands& o) {
      ops::NormalizePatchesArgs a = args;
      a.patches = o.read(a.patches);
      a.out = o.write(a.out);
      device_->normalize_patches(a);
    });
  }
  void gather_rows(TensorView in, TensorView rows, TensorView out) override {
    with_operands(
        [&](Operands& o) { device_->gather_rows(o.read(in), o.read(rows), o.write(out)); });
  }
  void scatter_rows(TensorView in, TensorView rows, TensorView out) override {
    with_operands(
        [&](Operands& o) { device_->scatter_rows(o.read(in), o.read(rows), o.write(out)); });
  }
  void resolve_tokens(TensorView drawn, TensorView sources, TensorView ids) override {
    with_operands([&](Operands& o) {
      device_->resolve_tokens(o.read(drawn), o.read(sources), o.write(ids));
    });
  }
  void prepare_draw(std::span<const ops::SampleRow> rows, ops::SamplingClass sampling) override {
    device_->prepare_draw(rows, sampling);
  }
  void draw(TensorView logits, TensorView tokens) override {
    with_operands([&](Operands& o) { device_->draw(o.read(logits), o.write(tokens)); });
  }
  std::shared_ptr<ops::PendingSamples> finish_step(int rows) override {
    return device_->finish_step(rows);
  }

 private:
  template <class Call>
  void with_operands(const Call& call) {
    Operands operands(*device_);
    call(operands);
    operands.download();
  }
  static ops::NormArgs norm(Operands& o, ops::NormArgs a) {
    a.x = o.read(a.x);
    a.weight = o.read(a.weight);
    a.bias = o.read(a.bias);
    a.out = o.write(a.out);
    return a;
  }

  std::unique_ptr<ops::Backend> device_;
};

}  // namespace

std::unique_ptr<ops::Backend> make_host_view_backend(std::unique_ptr<ops::Backend> device) {
  return std::make_unique<HostViewBackend>(std::move(device));
}

}  // namespace ernie::op_tests
