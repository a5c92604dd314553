#include "ops/operators.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "base/check.h"

namespace ernie::ops {
namespace {

std::string text(const TensorView& view) {
  return std::string(dtype_name(view.dtype)) + " " + view.shape.to_string();
}
std::string text(const Weight& weight) {
  return to_string(weight.format()) + " [" + std::to_string(weight.out_features()) + ", " +
         std::to_string(weight.in_features()) + "]";
}

void check_activation(const TensorView& x, const char* what) {
  CHECK(x.dtype == DType::kF32 || x.dtype == DType::kBF16,
        std::string(what) + ": activations are float32 or bfloat16, got " + text(x));
}

bool fits(const Weight& weight, DType activation) {
  return weight.format().is_quantized() || weight.format().dtype() == activation;
}

bool is_sum_of(const TensorView& out, DType activation) {
  return out.dtype == activation || out.dtype == DType::kF32;
}

bool is_ints(const TensorView& view, int64_t elements) {
  return view.dtype == DType::kI32 && view.shape.elements() == elements;
}

bool is_vector(const TensorView& view, DType dtype, int64_t elements) {
  return view.dtype == dtype && view.shape.elements() == elements;
}

void check_cache(const KvLayer& kv, const TensorView& qkv, int q_heads, const char* what) {
  const KvLayout& l = kv.layout;
  const bool scales_fit =
      !is_quantized(l.type) ||
      is_vector(kv.scales, DType::kBF16, kv.keys.shape.elements() / std::max(l.head_dim, 1) * 2);
  CHECK(l.block_size > 0 && l.kv_heads > 0 && l.head_dim > 0 && l.head_dim % 2 == 0 &&
            (is_quantized(l.type) || element_dtype(l.type) == qkv.dtype) &&
            kv.keys.dtype == element_dtype(l.type) && kv.values.dtype == kv.keys.dtype &&
            kv.keys.shape == kv.values.shape && scales_fit && q_heads % l.kv_heads == 0 &&
            qkv.cols() == int64_t{q_heads + 2 * l.kv_heads} * l.head_dim,
        std::string(what) + ": qkv " + text(qkv) + ", a cache of " + kv_type_name(l.type) +
            ", keys " + text(kv.keys) + ", scales " + text(kv.scales) + ", " +
            std::to_string(q_heads) + " query heads, " + std::to_string(l.kv_heads) +
            " key-value heads of " + std::to_string(l.head_dim) + ", blocks of " +
            std::to_string(l.block_size));
}

}  // namespace

void Operators::embed(const EmbedArgs& a) {
  CHECK(is_ints(a.ids, a.out.rows()) && !a.table->format().is_quantized() &&
            a.out.dtype == a.table->format().dtype() && a.out.cols() == a.table->in_features(),
        "embed: table " + text(*a.table) + ", ids " + text(a.ids) + ", out " + text(a.out));
  do_embed(a);
}

void Operators::linear(const LinearArgs& a) {
  const Weight& w = *a.weight;
  check_activation(a.x, "linear");
  CHECK(fits(w, a.x.dtype) && a.x.cols() == w.in_features() && a.out.cols() == w.out_features() &&
            a.out.rows() == a.x.rows() && is_sum_of(a.out, a.x.dtype) &&
            (a.bias.data == nullptr || is_vector(a.bias, a.x.dtype, w.out_features())),
        "linear: x " + text(a.x) + ", weight " + text(w) + ", bias " + text(a.bias) + ", out " +
            text(a.out));
  do_linear(a);
}

void Operators::rms_norm(const RmsNormArgs& a) {
  check_activation(a.x, "rms_norm");
  CHECK(is_vector(a.weight, a.x.dtype, a.x.cols()) && a.out.dtype == a.x.dtype &&
            a.out.shape == a.x.shape,
        "rms_norm: x " + text(a.x) + ", weight " + text(a.weight) + ", out " + text(a.out));
  do_rms_norm(a);
}

void Operators::residual_rms_norm(const ResidualRmsNormArgs& a) {
  check_activation(a.x, "residual_rms_norm");
  CHECK(is_vector(a.weight, a.x.dtype, a.x.cols()) && a.out.dtype == a.x.dtype &&
            a.out.shape == a.x.shape && a.residual.dtype == a.x.dtype &&
            a.residual.shape == a.x.shape,
        "residual_rms_norm: x " + text(a.x) + ", residual " + text(a.residual) + ", weight " +
            text(a.weight) + ", out " + text(a.out));
  do_residual_rms_norm(a);
}

void Operators::layer_norm(const LayerNormArgs& a) {
  check_activation(a.x, "layer_norm");
  CHECK(is_vector(a.weight, a.x.dtype, a.x.cols()) && is_vector(a.bias, a.x.dtype, a.x.cols()) &&
            a.out.dtype == a.x.dtype && a.out.shape == a.x.shape,
        "layer_norm: x " + text(a.x) + ", weight " + text(a.weight) + ", bias " + text(a.bias) +
            ", out " + text(a.out));
  do_layer_norm(a);
}

void Operators::add(const AddArgs& a) {
  check_activation(a.x, "add");
  CHECK(a.x.dtype == a.inout.dtype && a.x.shape == a.inout.shape,
        "add: x " + text(a.x) + ", inout " + text(a.inout));
  do_add(a);
}

void Operators::cast(const CastArgs& a) {
  check_activation(a.in, "cast");
  check_activation(a.out, "cast");
  CHECK(a.in.shape == a.out.shape, "cast: in " + text(a.in) + ", out " + text(a.out));
  do_cast(a);
}

void Operators::swiglu(const SwiGluArgs& a) {
  check_activation(a.out, "swiglu");
  CHECK(a.gate_up.dtype == a.out.dtype && a.gate_up.cols() == 2 * a.out.cols() &&
            a.gate_up.rows() == a.out.rows(),
        "swiglu: gate_up " + text(a.gate_up) + ", out " + text(a.out));
  do_swiglu(a);
}

void Operators::rope_kv_write(const RopeKvWriteArgs& a) {
  check_activation(a.qkv, "rope_kv_write");
  check_cache(a.kv, a.qkv, a.q_heads, "rope_kv_write");
  CHECK(a.positions.dtype == DType::kI32 && a.positions.shape == Shape({a.qkv.rows(), 3}) &&
            is_ints(a.slots, a.qkv.rows()) &&
            static_cast<int>(a.rope->inv_freq.size()) * 2 == a.kv.layout.head_dim &&
            a.rope->axis.size() == a.rope->inv_freq.size(),
        "rope_kv_write: qkv " + text(a.qkv) + ", positions " + text(a.positions) + ", slots " +
            text(a.slots) + ", " + std::to_string(a.rope->inv_freq.size()) + " frequencies");
  do_rope_kv_write(a);
}

void Operators::paged_attention(const PagedAttentionArgs& a) {
  check_activation(a.qkv, "paged_attention");
  check_cache(a.kv, a.qkv, a.q_heads, "paged_attention");
  const AttentionBatch& batch = *a.batch;
  CHECK(a.out.dtype == a.qkv.dtype && a.out.rows() == a.qkv.rows() &&
            a.out.cols() == int64_t{a.q_heads} * a.kv.layout.head_dim &&
            is_ints(batch.query_start, batch.num_seqs + 1) &&
            is_ints(batch.context_len, batch.num_seqs) && batch.block_tables.dtype == DType::kI32 &&
            batch.block_tables.rows() == batch.num_seqs &&
            (batch.max_query_len <= 1 || !is_quantized(a.kv.layout.type) ||
             (std::ssize(batch.host_query_start) == batch.num_seqs + 1 &&
              std::ssize(batch.host_context_len) == batch.num_seqs)),
        "paged_attention: qkv " + text(a.qkv) + ", out " + text(a.out) + ", " +
            std::to_string(batch.num_seqs) + " sequences (" +
            std::to_string(batch.host_context_len.size()) + " known to the host), block_tables " +
            text(batch.block_tables));
  do_paged_attention(a);
}

void Operators::moe_route(const MoeRouteArgs& a) {
  check_activation(a.x, "moe_route");
  CHECK(!a.groups.empty() && a.groups.size() <= kMaxExpertGroups,
        "moe_route: " + std::to_string(a.groups.size()) + " expert groups");
  for (const RouterGroup& group : a.groups) {
    CHECK(
        group.weight.dtype == DType::kF32 && group.weight.cols() == a.x.cols() &&
            group.weight.rows() >= a.top_k &&
            (group.bias.data == nullptr || is_vector(group.bias, DType::kF32, group.weight.rows())),
        "moe_route: x " + text(a.x) + ", router " + text(group.weight) + ", bias " +
            text(group.bias) + ", top_k " + std::to_string(a.top_k));
  }
  CHECK((a.first_group_only || is_vector(a.token_group, DType::kU8, a.x.rows())) &&
            a.expert_ids.dtype == DType::kI32 && a.expert_weights.dtype == DType::kF32 &&
            a.expert_ids.shape == Shape({a.x.rows(), a.top_k}) &&
            a.expert_weights.shape == a.expert_ids.shape,
        "moe_route: x " + text(a.x) + ", token_group " + text(a.token_group) + ", expert_ids " +
            text(a.expert_ids) + ", expert_weights " + text(a.expert_weights));
  do_moe_route(a);
}

void Operators::moe_experts(const MoeExpertsArgs& a) {
  check_activation(a.x, "moe_experts");
  CHECK(a.x.cols() == a.experts->hidden() && a.out.shape == a.x.shape &&
            is_sum_of(a.out, a.x.dtype) && a.expert_ids.dtype == DType::kI32 &&
            a.expert_weights.dtype == DType::kF32 && a.expert_ids.rows() == a.x.rows() &&
            a.expert_ids.shape == a.expert_weights.shape,
        "moe_experts: x " + text(a.x) + ", experts of " + std::to_string(a.experts->hidden()) +
            ", expert_ids " + text(a.expert_ids) + ", out " + text(a.out));
  const Weight& first = *a.experts->mlps()[0]->gate_up;
  CHECK(fits(first, a.x.dtype), "moe_experts: x " + text(a.x) + ", weights " + text(first));
  do_moe_experts(a);
}

void Operators::vision_rope(const VisionRopeArgs& a) {
  check_activation(a.qkv, "vision_rope");
  CHECK(a.qkv.cols() == int64_t{3} * a.heads * a.head_dim && a.head_dim % 4 == 0 &&
            a.positions.dtype == DType::kI32 && a.positions.shape == Shape({a.qkv.rows(), 2}),
        "vision_rope: qkv " + text(a.qkv) + ", positions " + text(a.positions));
  do_vision_rope(a);
}

void Operators::vision_attention(const VisionAttentionArgs& a) {
  check_activation(a.qkv, "vision_attention");
  CHECK(a.qkv.cols() == int64_t{3} * a.heads * a.head_dim && a.head_dim % 2 == 0 &&
            a.out.dtype == a.qkv.dtype && a.out.rows() == a.qkv.rows() &&
            a.out.cols() == int64_t{a.heads} * a.head_dim && !a.segment_start.empty() &&
            a.segment_start.back() == a.qkv.rows(),
        "vision_attention: qkv " + text(a.qkv) + ", out " + text(a.out) + ", " +
            std::to_string(a.segment_start.size()) + " segment bounds");
  do_vision_attention(a);
}

void Operators::normalize_patches(const NormalizePatchesArgs& a) {
  check_activation(a.out, "normalize_patches");
  CHECK(a.patches.dtype == DType::kU8 && a.patches.shape == a.out.shape && a.out.cols() % 3 == 0,
        "normalize_patches: patches " + text(a.patches) + ", out " + text(a.out));
  do_normalize_patches(a);
}

void Operators::gather_rows(const GatherRowsArgs& a) {
  CHECK(a.in.dtype == a.out.dtype && a.in.cols() == a.out.cols() && is_ints(a.rows, a.out.rows()),
        "gather_rows: in " + text(a.in) + ", rows " + text(a.rows) + ", out " + text(a.out));
  do_gather_rows(a);
}

void Operators::resolve_tokens(const ResolveTokensArgs& a) {
  CHECK(a.drawn.dtype == DType::kI32 && a.sources.dtype == DType::kI32 &&
            is_ints(a.ids, a.sources.shape.elements()),
        "resolve_tokens: sources " + text(a.sources) + ", ids " + text(a.ids));
  do_resolve_tokens(a);
}

}  // namespace ernie::ops
