#include "tests/ops/host_view_backend.h"

#include <map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "ops/testing/forwarding_backend.h"

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
    kv.scales = copy(kv.scales, written);
    return kv;
  }

  ops::Backend& device_;
  std::map<void*, Operand> operands_;
};

class HostViewBackend final : public ops::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  void draw(TensorView logits, TensorView tokens) override {
    with_operands([&](Operands& o) { to_->draw(o.read(logits), o.write(tokens)); });
  }

 private:
  void do_embed(const ops::EmbedArgs& args) override {
    with_operands([&](Operands& o) {
      to_->embed({args.table, args.first_row, o.read(args.ids), o.write(args.out)});
    });
  }
  void do_linear(const ops::LinearArgs& args) override {
    with_operands([&](Operands& o) {
      ops::LinearArgs a = args;
      a.x = o.read(a.x);
      a.bias = o.read(a.bias);
      a.out = o.write(a.out);
      to_->linear(a);
    });
  }
  void do_rms_norm(const ops::RmsNormArgs& args) override {
    with_operands([&](Operands& o) {
      to_->rms_norm({o.read(args.x), o.read(args.weight), args.eps, o.write(args.out)});
    });
  }
  void do_layer_norm(const ops::LayerNormArgs& args) override {
    with_operands([&](Operands& o) {
      to_->layer_norm(
          {o.read(args.x), o.read(args.weight), o.read(args.bias), args.eps, o.write(args.out)});
    });
  }
  void do_residual_rms_norm(const ops::ResidualRmsNormArgs& args) override {
    with_operands([&](Operands& o) {
      ops::ResidualRmsNormArgs a = args;
      a.x = o.read(a.x);
      a.residual = o.write(a.residual);
      a.weight = o.read(a.weight);
      a.out = o.write(a.out);
      to_->residual_rms_norm(a);
    });
  }
  void do_swiglu(const ops::SwiGluArgs& args) override {
    with_operands([&](Operands& o) { to_->swiglu({o.read(args.gate_up), o.write(args.out)}); });
  }
  void do_rope_kv_write(const ops::RopeKvWriteArgs& args) override {
    with_operands([&](Operands& o) {
      ops::RopeKvWriteArgs a = args;
      a.qkv = o.write(a.qkv);
      a.positions = o.read(a.positions);
      a.slots = o.read(a.slots);
      a.kv = o.write(a.kv);
      to_->rope_kv_write(a);
    });
  }
  void do_paged_attention(const ops::PagedAttentionArgs& args) override {
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
      to_->paged_attention(a);
    });
  }
  void do_moe_route(const ops::MoeRouteArgs& args) override {
    with_operands([&](Operands& o) {
      ops::MoeRouteArgs a = args;
      a.x = o.read(a.x);
      a.token_group = o.read(a.token_group);
      std::vector<ops::RouterGroup> groups(a.groups.begin(), a.groups.end());
      for (ops::RouterGroup& group : groups) group = {o.read(group.weight), o.read(group.bias)};
      a.groups = groups;
      a.expert_ids = o.write(a.expert_ids);
      a.expert_weights = o.write(a.expert_weights);
      to_->moe_route(a);
    });
  }
  void do_moe_experts(const ops::MoeExpertsArgs& args) override {
    with_operands([&](Operands& o) {
      ops::MoeExpertsArgs a = args;
      a.x = o.read(a.x);
      a.expert_ids = o.read(a.expert_ids);
      a.expert_weights = o.read(a.expert_weights);
      a.out = o.write(a.out);
      to_->moe_experts(a);
    });
  }
  void do_vision_rope(const ops::VisionRopeArgs& args) override {
    with_operands([&](Operands& o) {
      ops::VisionRopeArgs a = args;
      a.qkv = o.write(a.qkv);
      a.positions = o.read(a.positions);
      to_->vision_rope(a);
    });
  }
  void do_vision_attention(const ops::VisionAttentionArgs& args) override {
    with_operands([&](Operands& o) {
      ops::VisionAttentionArgs a = args;
      a.qkv = o.read(a.qkv);
      a.out = o.write(a.out);
      to_->vision_attention(a);
    });
  }
  void do_normalize_patches(const ops::NormalizePatchesArgs& args) override {
    with_operands([&](Operands& o) {
      ops::NormalizePatchesArgs a = args;
      a.patches = o.read(a.patches);
      a.out = o.write(a.out);
      to_->normalize_patches(a);
    });
  }
  void do_add(const ops::AddArgs& args) override {
    with_operands([&](Operands& o) { to_->add({o.read(args.x), o.write(args.inout)}); });
  }
  void do_cast(const ops::CastArgs& args) override {
    with_operands([&](Operands& o) { to_->cast({o.read(args.in), o.write(args.out)}); });
  }
  void do_gather_rows(const ops::GatherRowsArgs& args) override {
    with_operands([&](Operands& o) {
      to_->gather_rows({o.read(args.in), o.read(args.rows), o.write(args.out)});
    });
  }
  void do_resolve_tokens(const ops::ResolveTokensArgs& args) override {
    with_operands([&](Operands& o) {
      to_->resolve_tokens({o.read(args.drawn), o.read(args.sources), o.write(args.ids)});
    });
  }

  template <class Call>
  void with_operands(const Call& call) {
    Operands operands(*to_);
    call(operands);
    operands.download();
  }
};

}  // namespace

std::unique_ptr<ops::Backend> make_host_view_backend(std::unique_ptr<ops::Backend> device) {
  return std::make_unique<HostViewBackend>(std::move(device));
}

}  // namespace ernie::op_tests
