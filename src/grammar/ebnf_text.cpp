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

}  // namespace

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
