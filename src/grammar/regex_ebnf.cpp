#include <fmt/format.h>

#include "grammar/ebnf_text.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"

namespace ernie::grammar {
namespace {

// The dialect of XGrammar's own regular expressions, of which only what means the same everywhere
// is used: groups, alternatives, counts and classes of escaped characters.

std::string character_text(char32_t value) {
  const auto number = static_cast<uint32_t>(value);
  return value <= 0xFFFF ? fmt::format("\\u{:04x}", number) : fmt::format("\\u{{{:x}}}", number);
}

std::string class_text(const CodeSet& set) {
  std::string out = "[";
  for (const CodeSet::Range& range : set.ranges()) {
    out += character_text(range.first);
    if (range.last > range.first) out += "-" + character_text(range.last);
  }
  return out += ']';
}

// What may stand as itself in a JSON string as a class, the rest each as its escape.
std::string json_class_text(const CodeSet& set) {
  const CodeSet plain = set.without(json_escaped_characters());
  const CodeSet escaped = set.without(json_escaped_characters().complement());
  if (escaped.empty()) return class_text(plain);
  std::string out = plain.empty() ? "" : class_text(plain);
  for (const CodeSet::Range& range : escaped.ranges()) {
    for (char32_t value = range.first; value <= range.last; ++value) {
      if (!out.empty()) out += '|';
      for (const char c : json_escape(value)) out += character_text(static_cast<unsigned char>(c));
    }
  }
  return "(" + out + ")";
}

std::string quantifier(const Regex& regex) {
  if (regex.max == Regex::kUnbounded) {
    if (regex.min == 0) return "*";
    if (regex.min == 1) return "+";
    return fmt::format("{{{},}}", regex.min);
  }
  if (regex.min == 0 && regex.max == 1) return "?";
  return fmt::format("{{{},{}}}", regex.min, regex.max);
}

// Empty for the empty text.
std::string regex_text(const Regex& regex, RegexText text) {
  switch (regex.kind) {
    case Regex::Kind::kClass:
      return text == RegexText::kPlain ? class_text(regex.set) : json_class_text(regex.set);
    case Regex::Kind::kSequence: {
      std::string out;
      for (const Regex& part : regex.parts) out += regex_text(part, text);
      return out;
    }
    case Regex::Kind::kAlternatives: {
      std::string out;
      bool empty = false;
      for (const Regex& part : regex.parts) {
        const std::string alternative = regex_text(part, text);
        empty = empty || alternative.empty();
        if (alternative.empty()) continue;
        if (!out.empty()) out += '|';
        out += alternative;
      }
      if (out.empty()) return "";
      return "(" + out + ")" + (empty ? "?" : "");
    }
    case Regex::Kind::kRepeat: {
      const std::string repeated = regex_text(regex.parts[0], text);
      if (regex.max == 0 || repeated.empty()) return "";
      if (regex.parts[0].kind == Regex::Kind::kClass) return repeated + quantifier(regex);
      return "(" + repeated + ")" + quantifier(regex);
    }
    case Regex::Kind::kEmpty:
    case Regex::Kind::kBegin:
    case Regex::Kind::kEnd:
      break;
  }
  return "";
}

}  // namespace

std::string regex_ebnf(const Regex& regex, RegexText text) {
  const std::string pattern = regex_text(regex, text);
  return pattern.empty() ? "\"\"" : "Regex(" + ebnf_literal(pattern) + ")";
}

}  // namespace ernie::grammar
