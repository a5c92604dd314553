#include "ops/weight.h"

#include <utility>

namespace ernie {

ExpertSet::ExpertSet(ExpertWeights weights) : weights_(std::move(weights)) {
  CHECK(!weights_.groups.empty() && !weights_.groups[0].empty(), "a layer without experts");
  hidden_ = weights_.groups[0][0].down->out_features();
  const auto add = [&](const GatedMlp& mlp, int64_t width) {
    CHECK(mlp.gate_up->in_features() == hidden_ && mlp.gate_up->out_features() == 2 * width &&
              mlp.down->out_features() == hidden_ && mlp.down->in_features() == width,
          "an expert of width " + std::to_string(width) + " in a layer of width " +
              std::to_string(hidden_) + " has gate_up [" +
              std::to_string(mlp.gate_up->out_features()) + ", " +
              std::to_string(mlp.gate_up->in_features()) + "] and down [" +
              std::to_string(mlp.down->out_features()) + ", " +
              std::to_string(mlp.down->in_features()) + "]");
    mlps_.push_back(&mlp);
  };
  for (const std::vector<GatedMlp>& group : weights_.groups) {
    CHECK(!group.empty(), "a group without experts");
    groups_.push_back({static_cast<int>(group.size()), group[0].down->in_features()});
    for (const GatedMlp& mlp : group) add(mlp, groups_.back().width);
  }
  if (!weights_.shared) return;
  shared_width_ = weights_.shared->down->in_features();
  add(*weights_.shared, shared_width_);
}

}  // namespace ernie
