#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <utility>
#include <vector>

namespace ernie::grammar {

// A set of Unicode scalar values (surrogates are never in it) as sorted, disjoint ranges.
class CodeSet {
 public:
  struct Range {
    char32_t first;
    char32_t last;
    friend bool operator==(const Range&, const Range&) = default;
  };

  CodeSet() = default;
  CodeSet(std::initializer_list<Range> ranges) : ranges_(ranges) { normalize(); }
  // In any order. Ranges that are added one by one take time in the square of their number.
  explicit CodeSet(std::vector<Range> ranges) : ranges_(std::move(ranges)) { normalize(); }

  static CodeSet all() { return {{0, 0x10FFFF}}; }

  void add(char32_t first, char32_t last) {
    ranges_.push_back({first, last});
    normalize();
  }
  void add(const CodeSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
    normalize();
  }

  CodeSet complement() const {
    CodeSet result;
    char32_t next = 0;
    for (const Range& range : ranges_) {
      if (range.first > next) result.ranges_.push_back({next, range.first - 1});
      next = range.last + 1;
    }
    if (next <= 0x10FFFF) result.ranges_.push_back({next, 0x10FFFF});
    result.normalize();
    return result;
  }

  CodeSet without(const CodeSet& other) const {
    CodeSet outside = complement();
    outside.add(other);
    return outside.complement();
  }

  bool contains(char32_t value) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return range.first <= value && value <= range.last;
    });
  }

  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  // Sorts, merges and cuts the surrogates out.
  void normalize() {
    constexpr char32_t kBeforeSurrogates = 0xD7FF, kAfterSurrogates = 0xE000;
    std::sort(ranges_.begin(), ranges_.end(),
              [](const Range& a, const Range& b) { return a.first < b.first; });
    std::vector<Range> merged;
    const auto append = [&](char32_t first, char32_t last) {
      if (first > last) return;
      if (!merged.empty() && first <= merged.back().last + 1) {
        merged.back().last = std::max(merged.back().last, last);
      } else {
        merged.push_back({first, last});
      }
    };
    for (const Range& range : ranges_) {
      append(range.first, std::min(range.last, kBeforeSurrogates));
      append(std::max(range.first, kAfterSurrogates), range.last);
    }
    ranges_ = std::move(merged);
  }

  std::vector<Range> ranges_;
};

}  // namespace ernie::grammar
