#include "grammar/regex.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "grammar/to_ebnf.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace {

const CodeSet kDigits{{'0', '9'}};
const CodeSet kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
// Both dialects call these spaces.
const CodeSet kSpaces{{'\t', '\r'}, {' ', ' '}};
// At least one dialect calls these spaces.
const CodeSet kAnySpaces{{'\t', '\r'},     {0x1C, ' '},      {0x85, 0x85},     {0xA0, 0xA0},
                         {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                         {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
// No dialect calls these digits, or word characters; what one of them does is left out.
const CodeSet kNoDigits{{0, '0' - 1},     {'9' + 1, 0x5FF}, {0x2000, 0x206F},
                        {0x3000, 0x9FFF}, {0xAC00, 0xD7A3}, {0x1F300, 0x1F64F}};
const CodeSet kNoWord{{0, '0' - 1},     {':', '@'},       {'[', '^'},        {'`', '`'},
                      {'{', 0x7F},      {0x2010, 0x2027}, {0x2030, 0x203E},  {0x3001, 0x3003},
                      {0x3008, 0x3011}, {0xFF01, 0xFF0F}, {0x1F300, 0x1F64F}};
const CodeSet kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

class RegexParser {
 public:
  RegexParser(std::string_view pattern, const GrammarLimits& limits)
      : pattern_(pattern), limits_(limits) {}

  Result<Regex> parse() {
    if (!text::is_valid_utf8(pattern_)) return invalid_argument("the pattern is not valid UTF-8");
    Regex regex = alternatives();
    if (!error_ && !at_end()) fail("unmatched )");
    if (!error_) check_anchors(regex, true, true);
    if (error_) return *std::move(error_);
    return regex;
  }

 private:
  bool at_end() const { return error_ || position_ >= pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[position_]; }
  bool take(std::string_view text) {
    if (at_end() || !pattern_.substr(position_).starts_with(text)) return false;
    position_ += text.size();
    return true;
  }

  bool at_quantifier() const {
    return peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{';
  }

  void fail(std::string_view what) {
    if (!error_) {
      error_ = invalid_argument(
          fmt::format("{} at byte {} of the pattern is not supported", what, position_));
    }
  }
  void fail_limit(std::string what) {
    if (!error_) error_ = too_complex(std::move(what));
  }

  Regex alternatives() {
    if (++depth_ > limits_.depth) {
      fail_limit(fmt::format("the pattern nests deeper than {}", limits_.depth));
    }
    Regex result{Regex::Kind::kAlternatives};
    do {
      result.parts.push_back(sequence());
    } while (!error_ && take("|"));
    --depth_;
    return result.parts.size() == 1 ? std::move(result.parts[0]) : result;
  }

  Regex sequence() {
    Regex result{Regex::Kind::kSequence};
    while (!at_end() && peek() != '|' && peek() != ')') {
      Regex part = atom();
      repeat(part);
      result.parts.push_back(std::move(part));
    }
    return result;
  }

  Regex atom() {
    if (take("^") || take("\\A")) return Regex{Regex::Kind::kBegin};
    if (take("$") || take("\\Z") || take("\\z")) return Regex{Regex::Kind::kEnd};
    if (take("(")) return group();
    if (take("[")) return one_of(character_class());
    if (take(".")) return one_of(kLineEnds.complement());
    if (peek() == '\\') return one_of(escape());
    if (at_quantifier()) {
      fail("a quantifier with nothing before it");
      return {};
    }
    return one_of(single(character()));
  }

  Regex group() {
    if (take("?")) {
      const bool named = take("P<") || (take("<") && peek() != '=' && peek() != '!');
      if (named) {
        while (!at_end() && peek() != '>') ++position_;
        if (!take(">")) fail("a group's name without >");
      } else if (!take(":")) {
        fail("look-around, a flag or another special group");
      }
    }
    Regex inner = alternatives();
    if (!take(")")) fail("a group without )");
    return inner;
  }

  // A quantifier, if one follows.
  void repeat(Regex& part) {
    size_t min = 0;
    size_t max = kUnbounded;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (peek() != '{' || !counts(min, max)) {
      return;
    }
    take("?");  // a lazy quantifier matches the same texts
    if (at_quantifier()) fail("a quantifier after a quantifier");
    if (part.kind == Regex::Kind::kBegin || part.kind == Regex::Kind::kEnd) {
      fail("a quantifier after an anchor");
    }
    if (max < min) fail("a repeat whose maximum is below its minimum");
    if (min > limits_.repeats || (max != kUnbounded && max > limits_.repeats)) {
      fail_limit(fmt::format("a repeat count in the pattern is above {}", limits_.repeats));
    }
    Regex repeated{Regex::Kind::kRepeat};
    repeated.parts.push_back(std::move(part));
    repeated.min = min;
    repeated.max = max;
    part = std::move(repeated);
  }

  // {m}, {m,} or {m,n}. Anything else that begins with { is text in one dialect only.
  bool counts(size_t& min, size_t& max) {
    ++position_;
    const auto first = number();
    if (!first) {
      fail("{ without a count (write \\{)");
      return false;
    }
    min = max = *first;
    if (take(",")) {
      max = number().value_or(kUnbounded);
    }
    if (!take("}")) fail("{ without a count (write \\{)");
    return true;
  }

  std::optional<size_t> number() {
    if (peek() < '0' || peek() > '9') return std::nullopt;
    size_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      if (value <= limits_.repeats) value = value * 10 + (peek() - '0');
      ++position_;
    }
    return value;
  }

  char32_t character() {
    const text::Utf8Step step = text::utf8_step(pattern_.substr(position_));
    position_ += step.bytes;
    return step.value;
  }

  static CodeSet single(char32_t value) { return {{value, value}}; }
  static Regex one_of(CodeSet set) {
    Regex regex{Regex::Kind::kClass};
    regex.set = std::move(set);
    return regex;
  }

  CodeSet character_class() {
    const bool negated = take("^");
    if (peek() == ']') fail("] at the beginning of a class (write \\])");
    std::vector<CodeSet::Range> ranges;
    while (!at_end() && peek() != ']') {
      if (take("[:")) fail("a named class");
      const auto [first, is_single] = class_item();
      if (is_single && peek() == '-' && position_ + 1 < pattern_.size() &&
          pattern_[position_ + 1] != ']') {
        ++position_;
        const auto [last, last_is_single] = class_item();
        const char32_t low = first.ranges().empty() ? 0 : first.ranges()[0].first;
        const char32_t high = last.ranges().empty() ? 0 : last.ranges()[0].first;
        if (!last_is_single || low > high) {
          fail("a range without order in a class");
          return {};
        }
        ranges.push_back({low, high});
      } else {
        ranges.insert(ranges.end(), first.ranges().begin(), first.ranges().end());
      }
    }
    CodeSet set(std::move(ranges));
    if (!take("]")) fail("a class without ]");
    if (negated) set = set.complement();
    if (set.empty()) fail("a class of no character");
    return set;
  }

  // A character or an escape of a class, and whether it is one character.
  std::pair<CodeSet, bool> class_item() {
    if (at_end()) return {CodeSet{}, false};
    if (peek() != '\\') return {single(character()), true};
    if (take("\\b")) return {single('\b'), true};
    CodeSet set = escape();
    const bool is_single =
        set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
    return {std::move(set), is_single};
  }

  CodeSet escape() {
    ++position_;  // the backslash
    const char letter = peek();
    if (position_ >= pattern_.size()) {
      fail("a backslash at the end");
      return {};
    }
    if (static_cast<unsigned char>(letter) >= 0x80) return single(character());
    ++position_;
    switch (letter) {
      case 'd':
        return kDigits;
      case 'D':
        return kNoDigits;
      case 'w':
        return kWord;
      case 'W':
        return kNoWord;
      case 's':
        return kSpaces;
      case 'S':
        return kAnySpaces.complement();
      case 't':
        return single('\t');
      case 'n':
        return single('\n');
      case 'r':
        return single('\r');
      case 'f':
        return single('\f');
      case 'v':
        return single('\v');
      case 'x':
        return single(hex(2));
      case 'u':
        return single(take("{") ? braced_hex() : utf16());
      default:
        break;
    }
    const bool word = kWord.contains(letter);
    if (word) {
      --position_;
      fail(fmt::format("\\{}", letter));
    }
    return single(letter);
  }

  char32_t hex(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const auto digit = hex_digit();
      if (!digit) {
        fail("a hexadecimal escape with too few digits");
        return 0;
      }
      value = value * 16 + *digit;
    }
    return value;
  }

  char32_t braced_hex() {
    char32_t value = 0;
    while (const auto digit = hex_digit()) {
      if (value <= 0x10FFFF) value = value * 16 + *digit;
    }
    if (!take("}")) fail("\\u{ without }");
    return scalar(value);
  }

  // \uXXXX, or two of them for a character beyond U+FFFF.
  char32_t utf16() {
    const char32_t high = hex(4);
    if (high < 0xD800 || high > 0xDBFF || !take("\\u")) return scalar(high);
    const char32_t low = hex(4);
    if (low < 0xDC00 || low > 0xDFFF) fail("an unpaired surrogate");
    return scalar(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
  }

  char32_t scalar(char32_t value) {
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      fail("an escape of no character");
      return 0;
    }
    return value;
  }

  std::optional<uint32_t> hex_digit() {
    const char digit = peek();
    uint32_t value;
    if (digit >= '0' && digit <= '9') {
      value = digit - '0';
    } else if (digit >= 'a' && digit <= 'f') {
      value = digit - 'a' + 10;
    } else if (digit >= 'A' && digit <= 'F') {
      value = digit - 'A' + 10;
    } else {
      return std::nullopt;
    }
    ++position_;
    return value;
  }

  void check_anchors(const Regex& regex, bool at_begin, bool at_end) {
    switch (regex.kind) {
      case Regex::Kind::kBegin:
        if (!at_begin) fail_anchor("^", "beginning");
        break;
      case Regex::Kind::kEnd:
        if (!at_end) fail_anchor("$", "end");
        break;
      case Regex::Kind::kSequence: {
        const auto is_anchor = [](const Regex& part) {
          return part.kind == Regex::Kind::kBegin || part.kind == Regex::Kind::kEnd;
        };
        size_t first = 0, last = regex.parts.size();
        while (first < regex.parts.size() && is_anchor(regex.parts[first])) ++first;
        while (last > 0 && is_anchor(regex.parts[last - 1])) --last;
        for (size_t i = 0; i < regex.parts.size(); ++i) {
          check_anchors(regex.parts[i], at_begin && i <= first, at_end && i + 1 >= last);
        }
        break;
      }
      case Regex::Kind::kAlternatives:
        for (const Regex& part : regex.parts) check_anchors(part, at_begin, at_end);
        break;
      case Regex::Kind::kRepeat:
        check_anchors(regex.parts[0], false, false);
        break;
      case Regex::Kind::kEmpty:
      case Regex::Kind::kClass:
        break;
    }
  }
  void fail_anchor(std::string_view anchor, std::string_view place) {
    if (!error_) {
      error_ = invalid_argument(fmt::format(
          "{} elsewhere than at the {} of the pattern is not supported", anchor, place));
    }
  }

  std::string_view pattern_;
  const GrammarLimits& limits_;
  size_t position_ = 0;
  size_t depth_ = 0;
  std::optional<Error> error_;
};

}  // namespace

Result<Regex> parse_regex(std::string_view pattern, const GrammarLimits& limits) {
  return RegexParser(pattern, limits).parse();
}

}  // namespace ernie::grammar
