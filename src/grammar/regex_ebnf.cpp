#include <fmt/format.h>

#include "grammar/ebnf_text.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace {

std::string class_ebnf(const CodeSet& set) {
  const auto& ranges = set.ranges();
  if (ranges.size() == 1 && ranges[0].first == ranges[0].last) {
    std::string character;
    text::append_utf8(ranges[0].first, character);
    return ebnf_literal(character);
  }
  return ebnf_class(set);
}

// What may stand as itself in a JSON string as a class, the rest each as its escape.
std::string json_class_ebnf(const CodeSet& set) {
  const CodeSet plain = set.without(json_escaped_characters());
  std::string out;
  if (!plain.empty()) out = class_ebnf(plain);
  size_t alternatives = plain.empty() ? 0 : 1;
  const CodeSet escaped = set.without(json_escaped_characters().complement());
  for (const CodeSet::Range& range : escaped.ranges()) {
    for (char32_t value = range.first; value <= range.last; ++value) {
      if (alternatives++ > 0) out += " | ";
      out += ebnf_literal(json_escape(value));
    }
  }
  return alternatives == 1 ? out : "(" + out + ")";
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

}  // namespace

std::string regex_ebnf(const Regex& regex, RegexText text) {
  switch (regex.kind) {
    case Regex::Kind::kClass:
      return text == RegexText::kPlain ? class_ebnf(regex.set) : json_class_ebnf(regex.set);
    case Regex::Kind::kSequence: {
      std::string out;
      for (const Regex& part : regex.parts) {
        if (part.kind == Regex::Kind::kBegin || part.kind == Regex::Kind::kEnd) continue;
        if (!out.empty()) out += ' ';
        const bool group = part.kind == Regex::Kind::kAlternatives;
        out += group ? "(" + regex_ebnf(part, text) + ")" : regex_ebnf(part, text);
      }
      return out.empty() ? "\"\"" : out;
    }
    case Regex::Kind::kAlternatives: {
      std::string out;
      for (const Regex& part : regex.parts) {
        if (!out.empty()) out += " | ";
        out += regex_ebnf(part, text);
      }
      return out;
    }
    case Regex::Kind::kRepeat:
      if (regex.max == 0) return "\"\"";
      // A class without brackets around it is repeated in place, anything else by a rule.
      if (regex.parts[0].kind == Regex::Kind::kClass) {
        return regex_ebnf(regex.parts[0], text) + quantifier(regex);
      }
      return "(" + regex_ebnf(regex.parts[0], text) + ")" + quantifier(regex);
    case Regex::Kind::kEmpty:
    case Regex::Kind::kBegin:
    case Regex::Kind::kEnd:
      break;
  }
  return "\"\"";
}

}  // namespace ernie::grammar
