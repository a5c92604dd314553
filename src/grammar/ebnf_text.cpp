#include "grammar/ebnf_text.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace ernie::grammar {
namespace {

// A character inside quotes or square brackets. Escapes of a fixed length: `\x` takes as many
// digits as follow it.
void append_character(char32_t value, std::string& out) {
  const bool plain = (value >= '0' && value <= '9') || (value >= 'A' && value <= 'Z') ||
                     (value >= 'a' && value <= 'z') || value == ' ' || value == '_';
  if (plain) {
    out += static_cast<char>(value);
  } else if (value <= 0xFFFF) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(value));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(value));
  }
}

constexpr size_t kBlock = 16;
constexpr size_t kPlainCount = 2 * kBlock;  // counts below are left to XGrammar

std::string exactly(const std::string& element, size_t count, const AddRule& add_rule) {
  if (count == 0) return "";
  if (count < kPlainCount) return fmt::format("{}{{{}}}", element, count);
  const std::string block = add_rule(fmt::format("{}{{{}}}", element, kBlock));
  const std::string blocks = exactly(block, count / kBlock, add_rule);
  return count % kBlock == 0 ? blocks : fmt::format("{} {}{{{}}}", blocks, element, count % kBlock);
}

std::string at_most(const std::string& element, size_t count, const AddRule& add_rule) {
  if (count == 0) return "";
  if (count < kPlainCount) return fmt::format("{}{{0,{}}}", element, count);
  const std::string block = add_rule(fmt::format("{}{{{}}}", element, kBlock));
  const size_t blocks = count / kBlock;
  std::string out = fmt::format("({} {}{{0,{}}} | {}", at_most(block, blocks - 1, add_rule),
                                element, kBlock - 1, exactly(block, blocks, add_rule));
  if (count % kBlock != 0) out += fmt::format(" {}{{0,{}}}", element, count % kBlock);
  return out + ")";
}

}  // namespace

std::string ebnf_repeat(const std::string& element, size_t min, size_t max,
                        const AddRule& add_rule) {
  if (max == 0) return "\"\"";
  // Where the element stands more than once, a name keeps repeats of repeats short.
  constexpr size_t kShort = 24;
  const bool once = max == kUnbounded ? min <= 1 : max < kPlainCount;
  if (!once && element.size() > kShort) {
    return ebnf_repeat(add_rule(element), min, max, add_rule);
  }
  if (min == 0 && max == 1) return element + "?";
  if (max == kUnbounded) {
    if (min <= 1) return element + (min == 0 ? "*" : "+");
    return exactly(element, min, add_rule) + " " + element + "*";
  }
  if (max < kPlainCount) return fmt::format("{}{{{},{}}}", element, min, max);
  return exactly(element, min, add_rule) + " " + at_most(element, max - min, add_rule);
}

std::string ebnf_literal(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const text::Utf8Step step = text::utf8_step(text);
    append_character(step.value, out);
    text.remove_prefix(step.bytes);
  }
  return out += '"';
}

std::string ebnf_class(const CodeSet& set) {
  std::string out = "[";
  for (const CodeSet::Range& range : set.ranges()) {
    append_character(range.first, out);
    if (range.last > range.first) {
      out += '-';
      append_character(range.last, out);
    }
  }
  return out += ']';
}

}  // namespace ernie::grammar
