#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "ops/testing/forwarding_backend.h"

namespace ernie::golden {

// What the router of one MoE layer gave one token.
struct Routed {
  std::vector<float> scores;  // probability + correction bias, of the experts of its group
  std::vector<int32_t> ids;   // chosen, in rising order
  bool forced = false;        // it had chosen others
};

// Rows [tokens] of one call, calls in the order of the model.
using Routing = std::vector<std::vector<Routed>>;

// Notes what routers choose and, given the routing of an earlier run of the same steps, makes every
// token take the experts it took there.
class RoutingBackend final : public ops::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  void start(const Routing* forced) {
    noted_.clear();
    forced_ = forced;
  }
  Routing take() { return std::move(noted_); }

 private:
  void do_moe_route(const ops::MoeRouteArgs& a) override {
    const std::vector<uint8_t> token_group = host<uint8_t>(a.token_group);
    std::vector<Routed> calls;
    for (int64_t t = 0; t < a.x.rows(); ++t) {
      ops::MoeRouteArgs row = a;
      row.x = a.x.slice_rows(t, 1);
      row.token_group = {a.token_group.as<uint8_t>() + t, DType::kU8, {1}};
      row.expert_ids = a.expert_ids.slice_rows(t, 1);
      row.expert_weights = a.expert_weights.slice_rows(t, 1);
      const size_t group = a.first_group_only ? 0 : token_group[static_cast<size_t>(t)];
      Routed routed{scores(row, group), {}, false};
      to_->moe_route(row);
      routed.ids = host<int32_t>(row.expert_ids);
      std::sort(routed.ids.begin(), routed.ids.end());
      if (forced_ != nullptr) {
        const Routed& other = forced_->at(noted_.size()).at(static_cast<size_t>(t));
        routed.forced = other.ids != routed.ids;
        if (routed.forced) route_to(other.ids, row, group);
      }
      calls.push_back(std::move(routed));
    }
    noted_.push_back(std::move(calls));
  }

  template <typename T>
  std::vector<T> host(const TensorView& view) {
    std::vector<T> values(static_cast<size_t>(view.shape.elements()));
    to_->copy_to_host(values.data(), view.data, view.bytes());
    return values;
  }

  int32_t first_expert(const ops::MoeRouteArgs& a, size_t group) {
    return group == 1 ? static_cast<int32_t>(a.groups[0].weight.rows()) : 0;
  }

  // Chooses `ids`, experts of one group: their bias is above every probability.
  void route_to(const std::vector<int32_t>& ids, ops::MoeRouteArgs row, size_t group) {
    const int64_t experts = row.groups[group].weight.rows();
    std::vector<float> bias(static_cast<size_t>(experts), 0.0f);
    for (const int32_t id : ids) bias[static_cast<size_t>(id - first_expert(row, group))] = 2;
    const Buffer buffer = to_->allocate(bias.size() * sizeof(float));
    to_->copy_to_device(buffer.data(), bias.data(), bias.size() * sizeof(float));
    std::vector<ops::RouterGroup> groups(row.groups.begin(), row.groups.end());
    groups[group].bias = buffer.view(DType::kF32, {experts});
    row.groups = groups;
    to_->moe_route(row);
    to_->synchronize();
  }

  // Every expert is chosen once, a few at a time, since a backend may limit how many; divided by 1,
  // the weights are the probabilities. In bfloat16 they are rounded, which adds less to the noise
  // than it can show.
  std::vector<float> scores(ops::MoeRouteArgs row, size_t group) {
    constexpr int64_t kMostChosen = 8;
    const int64_t experts = row.groups[group].weight.rows();
    std::vector<float> scores(static_cast<size_t>(experts), 0.0f);
    if (row.groups[group].bias.data != nullptr) scores = host<float>(row.groups[group].bias);
    const Buffer ids_buffer = to_->allocate(kMostChosen * sizeof(int32_t));
    const Buffer weights_buffer = to_->allocate(kMostChosen * sizeof(float));
    row.norm_min = 1;
    for (int64_t first = 0; first < experts; first += kMostChosen) {
      std::vector<int32_t> ids(static_cast<size_t>(std::min(kMostChosen, experts - first)));
      std::iota(ids.begin(), ids.end(), first_expert(row, group) + static_cast<int32_t>(first));
      const auto count = static_cast<int64_t>(ids.size());
      row.top_k = static_cast<int>(count);
      row.expert_ids = ids_buffer.view(DType::kI32, {1, count});
      row.expert_weights = weights_buffer.view(DType::kF32, {1, count});
      route_to(ids, row, group);
      ids = host<int32_t>(row.expert_ids);
      const std::vector<float> probabilities = host<float>(row.expert_weights);
      for (size_t i = 0; i < ids.size(); ++i) {
        scores[static_cast<size_t>(ids[i] - first_expert(row, group))] += probabilities[i];
      }
    }
    return scores;
  }

  Routing noted_;
  const Routing* forced_ = nullptr;
};

}  // namespace ernie::golden
