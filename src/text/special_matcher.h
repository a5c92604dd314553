#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ernie::text {

// Finds the strings of added tokens in a text: leftmost first, the longest at one place. A trie, so
// the time is at most the text's length times the longest string's, and in practice its length.
class SpecialMatcher {
 public:
  struct Match {
    size_t begin, end;  // bytes
    int32_t id;
  };

  void add(std::string_view token, int32_t id);

  std::optional<Match> find(std::string_view text, size_t from) const;

 private:
  static uint64_t edge(uint32_t node, char byte) {
    return (uint64_t{node} << 8) | static_cast<unsigned char>(byte);
  }
  std::optional<Match> longest_at(std::string_view text, size_t begin) const;

  std::unordered_map<uint64_t, uint32_t> edges_;  // by edge(): the next node; 0 is the root
  std::vector<int32_t> ids_{-1};                  // by node: the token that ends there, or -1
  bool starts_[256] = {};                         // by byte: whether a token begins with it
};

}  // namespace ernie::text
