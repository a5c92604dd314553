#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ernie::text {

// Finds the first of several stop strings in a stream of text, in time linear in the text, and
// never lets out a piece of a stop string: the longest end of the text that begins a stop string
// is held back. The match that ends first wins; among those that end together, the longest.
// (Aho and Corasick, "Efficient string matching", 1975.)
class StopMatcher {
 public:
  struct Output {
    std::string text;               // may be sent now
    std::optional<size_t> matched;  // index of the stop string found; text ends here
    std::string rest;               // what followed the stop string in the same delta
  };

  // Empty stop strings are ignored. With include_stop the stop string is part of the text.
  explicit StopMatcher(const std::vector<std::string>& stops, bool include_stop = false);

  // No push after a match before flush().
  Output push(std::string_view delta);
  // The end of the text: what was held back. The matcher may be used anew.
  std::string flush();

 private:
  struct Node {
    std::map<char, int32_t> next;
    int32_t fail = 0;
    size_t depth = 0;            // bytes of stop string that this state stands for
    std::optional<size_t> stop;  // the longest stop string that ends here
  };
  int32_t step(int32_t state, char byte) const;

  std::vector<Node> nodes_;
  std::vector<size_t> lengths_;  // bytes, by stop string
  bool include_stop_;
  int32_t state_ = 0;
  std::string held_;
};

}  // namespace ernie::text
