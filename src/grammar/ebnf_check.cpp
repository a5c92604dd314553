#include "grammar/ebnf_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "grammar/to_ebnf.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace {

constexpr std::array<std::string_view, 6> kMacros = {"TagDispatch",      "Token", "ExcludeToken",
                                                     "TokenTagDispatch", "Regex", "Substring"};

constexpr size_t kMostRepeats = 128;  // XGrammar is slow with what is above

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
}

class EbnfChecker {
 public:
  EbnfChecker(std::string_view grammar, const GrammarLimits& limits)
      : grammar_(grammar), limits_(limits) {}

  Status check() {
    if (!text::is_valid_utf8(grammar_) || grammar_.find('\0') != std::string_view::npos) {
      return invalid_argument("the grammar is not valid UTF-8, or holds a zero byte");
    }
    while (position_ < grammar_.size()) {
      if (Status status = element(); !status) return status;
    }
    return {};
  }

 private:
  Status element() {
    const char c = grammar_[position_];
    if (c == '#') {
      position_ = std::min(grammar_.find_first_of("\r\n", position_), grammar_.size());
    } else if (c == '"') {
      skip_to('"');
    } else if (c == '[') {
      skip_to(']');
    } else if (c == '(') {
      ++position_;
      if (++depth_ > limits_.depth) {
        return too_complex(fmt::format("brackets in the grammar nest deeper than {} at line {}",
                                       limits_.depth, line()));
      }
    } else if (c == ')') {
      ++position_;
      if (depth_ > 0) --depth_;
    } else if (is_digit(c)) {
      return number();
    } else if (is_name(c)) {
      return name();
    } else {
      ++position_;
    }
    return {};
  }

  // Past a literal or a class, where a backslash takes the next character.
  void skip_to(char end) {
    ++position_;
    while (position_ < grammar_.size() && grammar_[position_] != end) {
      position_ += grammar_[position_] == '\\' ? 2 : 1;
    }
    ++position_;
  }

  // Outside names and literals a number is a repeat count.
  Status number() {
    size_t value = 0;
    while (position_ < grammar_.size() && is_digit(grammar_[position_])) {
      if (value <= kMostRepeats) value = value * 10 + (grammar_[position_] - '0');
      ++position_;
    }
    if (value <= kMostRepeats) return {};
    return too_complex(
        fmt::format("a repeat count in the grammar is above {} at line {}", kMostRepeats, line()));
  }

  Status name() {
    const size_t start = position_;
    while (position_ < grammar_.size() &&
           (is_name(grammar_[position_]) || is_digit(grammar_[position_]))) {
      ++position_;
    }
    const std::string_view word = grammar_.substr(start, position_ - start);
    if (std::find(kMacros.begin(), kMacros.end(), word) != kMacros.end()) {
      return invalid_argument(
          fmt::format("{} at line {} of the grammar is not supported", word, line()));
    }
    if (position_ < grammar_.size() && grammar_[position_] == '[') {
      const size_t end = grammar_.find(']', position_);
      const size_t next = grammar_.find_first_not_of(" \t", std::min(end, grammar_.size() - 1) + 1);
      if (next != std::string_view::npos && grammar_.substr(next).starts_with("::=")) {
        return invalid_argument(fmt::format(
            "the attributes of rule {} at line {} of the grammar are not supported", word, line()));
      }
    }
    return {};
  }

  size_t line() const {
    const size_t end = std::min(position_, grammar_.size());
    return 1 + std::count(grammar_.begin(), grammar_.begin() + static_cast<ptrdiff_t>(end), '\n');
  }

  std::string_view grammar_;
  const GrammarLimits& limits_;
  size_t position_ = 0;
  size_t depth_ = 0;
};

}  // namespace

Status check_ebnf(std::string_view grammar, const GrammarLimits& limits) {
  return EbnfChecker(grammar, limits).check();
}

}  // namespace ernie::grammar
