#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "ops/backend.h"

namespace ernie::golden {

// Passes everything on to another backend.
class PassOn : public ops::Backend {
 public:
  explicit PassOn(std::unique_ptr<ops::Backend> to) : to_(std::move(to)) {}

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
  std::unique_ptr<Weight> pack_stacked(std::span<const HostMatrix> parts,
                                       DType activation) override {
    return to_->pack_stacked(parts, activation);
  }
  size_t packed_bytes(int64_t out, int64_t in, DType activation) const override {
    return to_->packed_bytes(out, in, activation);
  }
  void embed(const Weight& table, int64_t first_row, TensorView ids, TensorView out) override {
    to_->embed(table, first_row, ids, out);
  }
  void linear(const ops::LinearArgs& a) override { to_->linear(a); }
  void rms_norm(const ops::NormArgs& a) override { to_->rms_norm(a); }
  void residual_rms_norm(const ops::ResidualRmsNormArgs& a) override { to_->residual_rms_norm(a); }
  void layer_norm(const ops::NormArgs& a) override { to_->layer_norm(a); }
  void add(TensorView x, TensorView inout) override { to_->add(x, inout); }
  void cast(TensorView in, TensorView out) override { to_->cast(in, out); }
  void swiglu(const ops::SwiGluArgs& a) override { to_->swiglu(a); }
  void rope_kv_write(const ops::RopeKvWriteArgs& a) override { to_->rope_kv_write(a); }
  void paged_attention(const ops::PagedAttentionArgs& a) override { to_->paged_attention(a); }
  void moe_route(const ops::MoeRouteArgs& a) override { to_->moe_route(a); }
  void moe_experts(const ops::MoeExpertsArgs& a) override { to_->moe_experts(a); }
  void vision_rope(const ops::VisionRopeArgs& a) override { to_->vision_rope(a); }
  void vision_attention(const ops::VisionAttentionArgs& a) override { to_->vision_attention(a); }
  void normalize_patches(const ops::NormalizePatchesArgs& a) override { to_->normalize_patches(a); }
  void gather_rows(TensorView in, TensorView rows, TensorView out) override {
    to_->gather_rows(in, rows, out);
  }
  void scatter_rows(TensorView in, TensorView rows, TensorView out) override {
    to_->scatter_rows(in, rows, out);
  }
  void resolve_tokens(TensorView drawn, TensorView sources, TensorView ids) override {
    to_->resolve_tokens(drawn, sources, ids);
  }
  void prepare_draw(std::span<const ops::SampleRow> rows, ops::SamplingClass sampling) override {
    to_->prepare_draw(rows, sampling);
  }
  void draw(TensorView logits, TensorView tokens) override { to_->draw(logits, tokens); }
  std::shared_ptr<ops::PendingSamples> finish_step(int rows) override {
    return to_->finish_step(rows);
  }

 protected:
  std::unique_ptr<ops::Backend> to_;
};

// What the router of one MoE layer gave one token.
struct Routed {
  std::vector<float> scores;  // probability + correction bias, of its modality's experts
  std::vector<int32_t> ids;   // chosen, in rising order
  bool forced = false;        // it had chosen others
};

// Rows [tokens] of one call, calls in the order of the model.
using Routing = std::vector<std::vector<Routed>>;

// Notes what routers choose and, given the routing of an earlier run of the same steps, makes every
// token take the experts it took there.
class RoutingBackend final : public PassOn {
 public:
  using PassOn::PassOn;

  void start(const Routing* forced) {
    noted_.clear();
    forced_ = forced;
  }
  Routing take() { return std::move(noted_); }

  void moe_route(const ops::MoeRouteArgs& a) override {
    const std::vector<uint8_t> is_vision = host<uint8_t>(a.is_vision);
    std::vector<Routed> calls;
    for (int64_t t = 0; t < a.x.rows(); ++t) {
      ops::MoeRouteArgs row = a;
      row.x = a.x.slice_rows(t, 1);
      row.is_vision = {a.is_vision.as<uint8_t>() + t, DType::kU8, {1}};
      row.expert_ids = a.expert_ids.slice_rows(t, 1);
      row.expert_weights = a.expert_weights.slice_rows(t, 1);
      const int modality = a.any_vision && is_vision[static_cast<size_t>(t)] != 0 ? 1 : 0;
      Routed routed{scores(row, modality), {}, false};
      to_->moe_route(row);
      routed.ids = host<int32_t>(row.expert_ids);
      std::sort(routed.ids.begin(), routed.ids.end());
      if (forced_ != nullptr) {
        const Routed& other = forced_->at(noted_.size()).at(static_cast<size_t>(t));
        routed.forced = other.ids != routed.ids;
        if (routed.forced) route_to(other.ids, row, modality);
      }
      calls.push_back(std::move(routed));
    }
    noted_.push_back(std::move(calls));
  }

 private:
  template <typename T>
  std::vector<T> host(const TensorView& view) {
    std::vector<T> values(static_cast<size_t>(view.shape.elements()));
    to_->copy_to_host(values.data(), view.data, view.bytes());
    return values;
  }

  int32_t first_expert(const ops::MoeRouteArgs& a, int modality) {
    return modality == 1 ? static_cast<int32_t>(a.router[0].rows()) : 0;
  }

  // Chooses `ids`, experts of one modality: their bias is above every probability.
  void route_to(const std::vector<int32_t>& ids, ops::MoeRouteArgs row, int modality) {
    const int64_t experts = row.router[modality].rows();
    std::vector<float> bias(static_cast<size_t>(experts), 0.0f);
    for (const int32_t id : ids) bias[static_cast<size_t>(id - first_expert(row, modality))] = 2;
    const Buffer buffer = to_->allocate(bias.size() * sizeof(float));
    to_->copy_to_device(buffer.data(), bias.data(), bias.size() * sizeof(float));
    row.bias[modality] = buffer.view(DType::kF32, {experts});
    to_->moe_route(row);
    to_->synchronize();
  }

  // Every expert is chosen once, a few at a time, since a backend may limit how many; divided by 1,
  // the weights are the probabilities. In bfloat16 they are rounded, which adds less to the noise
  // than it can show.
  std::vector<float> scores(ops::MoeRouteArgs row, int modality) {
    constexpr int64_t kMostChosen = 8;
    const int64_t experts = row.router[modality].rows();
    std::vector<float> scores(static_cast<size_t>(experts), 0.0f);
    if (row.bias[modality].data != nullptr) scores = host<float>(row.bias[modality]);
    const Buffer ids_buffer = to_->allocate(kMostChosen * sizeof(int32_t));
    const Buffer weights_buffer = to_->allocate(kMostChosen * sizeof(float));
    row.norm_min = 1;
    for (int64_t first = 0; first < experts; first += kMostChosen) {
      std::vector<int32_t> ids(static_cast<size_t>(std::min(kMostChosen, experts - first)));
      std::iota(ids.begin(), ids.end(), first_expert(row, modality) + static_cast<int32_t>(first));
      const auto count = static_cast<int64_t>(ids.size());
      row.top_k = static_cast<int>(count);
      row.expert_ids = ids_buffer.view(DType::kI32, {1, count});
      row.expert_weights = weights_buffer.view(DType::kF32, {1, count});
      route_to(ids, row, modality);
      ids = host<int32_t>(row.expert_ids);
      const std::vector<float> probabilities = host<float>(row.expert_weights);
      for (size_t i = 0; i < ids.size(); ++i) {
        scores[static_cast<size_t>(ids[i] - first_expert(row, modality))] += probabilities[i];
      }
    }
    return scores;
  }

  Routing noted_;
  const Routing* forced_ = nullptr;
};

}  // namespace ernie::golden
