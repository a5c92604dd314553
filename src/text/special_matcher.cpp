#include "text/special_matcher.h"

#include "base/check.h"

namespace ernie::text {

void SpecialMatcher::add(std::string_view token, int32_t id) {
  CHECK(!token.empty(), "an added token must have text");
  starts_[static_cast<unsigned char>(token[0])] = true;
  uint32_t node = 0;
  for (char byte : token) {
    const auto [it, fresh] = edges_.try_emplace(edge(node, byte), ids_.size());
    if (fresh) ids_.push_back(-1);
    node = it->second;
  }
  ids_[node] = id;
}

std::optional<SpecialMatcher::Match> SpecialMatcher::find(std::string_view text,
                                                          size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    if (auto match = longest_at(text, begin)) return match;
  }
  return std::nullopt;
}

std::optional<SpecialMatcher::Match> SpecialMatcher::longest_at(std::string_view text,
                                                                size_t begin) const {
  std::optional<Match> best;
  uint32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const auto it = edges_.find(edge(node, text[i]));
    if (it == edges_.end()) break;
    node = it->second;
    if (ids_[node] >= 0) best = Match{begin, i + 1, ids_[node]};
  }
  return best;
}

}  // namespace ernie::text
