#include "text/stop_matcher.h"

#include <queue>
#include <utility>

namespace ernie::text {

StopMatcher::StopMatcher(const std::vector<std::string>& stops, bool include_stop)
    : nodes_(1), include_stop_(include_stop) {
  for (size_t i = 0; i < stops.size(); ++i) {
    lengths_.push_back(stops[i].size());
    int32_t state = 0;
    for (char byte : stops[i]) {
      const auto [it, fresh] =
          nodes_[state].next.try_emplace(byte, static_cast<int32_t>(nodes_.size()));
      const int32_t child = it->second;
      if (fresh) {
        const size_t depth = nodes_[state].depth + 1;
        nodes_.push_back({.depth = depth});
      }
      state = child;
    }
    if (state != 0 && !nodes_[state].stop) nodes_[state].stop = i;
  }
  // Breadth first: a node's fail link is shorter than the node, so it is already complete.
  std::queue<int32_t> todo;
  todo.push(0);
  while (!todo.empty()) {
    const int32_t state = todo.front();
    todo.pop();
    for (const auto& [byte, child] : nodes_[state].next) {
      Node& node = nodes_[child];
      node.fail = state == 0 ? 0 : step(nodes_[state].fail, byte);
      if (!node.stop) node.stop = nodes_[node.fail].stop;
      todo.push(child);
    }
  }
}

int32_t StopMatcher::step(int32_t state, char byte) const {
  while (true) {
    const auto it = nodes_[state].next.find(byte);
    if (it != nodes_[state].next.end()) return it->second;
    if (state == 0) return 0;
    state = nodes_[state].fail;
  }
}

StopMatcher::Output StopMatcher::push(std::string_view delta) {
  Output output;
  output.text = std::move(held_);
  held_.clear();
  for (size_t i = 0; i < delta.size(); ++i) {
    state_ = step(state_, delta[i]);
    const std::optional<size_t>& stop = nodes_[state_].stop;
    if (!stop) continue;
    output.text.append(delta, 0, i + 1);
    if (!include_stop_) output.text.resize(output.text.size() - lengths_[*stop]);
    output.matched = stop;
    output.rest = delta.substr(i + 1);
    return output;
  }
  output.text.append(delta);
  if (!include_stop_) {
    const size_t sure = output.text.size() - nodes_[state_].depth;
    held_ = output.text.substr(sure);
    output.text.resize(sure);
  }
  return output;
}

std::string StopMatcher::flush() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace ernie::text
