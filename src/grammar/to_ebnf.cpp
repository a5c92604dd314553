#include "grammar/to_ebnf.h"

#include <fmt/format.h>

#include <utility>

#include "grammar/ebnf_check.h"
#include "grammar/ebnf_text.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "text/utf8.h"

namespace ernie::grammar {
namespace {

Result<std::string> choices_to_ebnf(const std::vector<std::string>& choices,
                                    const GrammarLimits& limits) {
  if (choices.empty()) return invalid_argument("there must be at least one choice");
  if (choices.size() > limits.choices) {
    return too_complex(fmt::format("{} choices, at most {}", choices.size(), limits.choices));
  }
  std::string out = "root ::= ";
  for (size_t i = 0; i < choices.size(); ++i) {
    if (!text::is_valid_utf8(choices[i])) {
      return invalid_argument(fmt::format("choice {} is not valid UTF-8", i));
    }
    if (choices[i].empty()) return invalid_argument(fmt::format("choice {} is empty", i));
    if (i > 0) out += " | ";
    out += ebnf_literal(choices[i]);
  }
  return out;
}

Result<std::string> regex_to_ebnf(const std::string& pattern, const GrammarLimits& limits) {
  auto regex = parse_regex(pattern, limits);
  if (!regex) return regex.error();
  auto rules = regex_rules(*regex, RegexText::kPlain, "state-");
  if (!rules) return rules.error();
  return "root ::= state-0\n" + *rules;
}

}  // namespace

Error too_complex(std::string message) {
  return invalid_argument(std::move(message), {}, "grammar_too_complex");
}

Result<std::string> to_ebnf(const GrammarSpec& spec, const GrammarLimits& limits) {
  if (spec.text.size() > limits.text_bytes) {
    return too_complex(fmt::format("the grammar's text has {} bytes, at most {}", spec.text.size(),
                                   limits.text_bytes));
  }
  switch (spec.kind) {
    case GrammarKind::kChoice:
      return choices_to_ebnf(spec.choices, limits);
    case GrammarKind::kRegex:
      return regex_to_ebnf(spec.text, limits);
    case GrammarKind::kEbnf:
      if (Status checked = check_ebnf(spec.text, limits); !checked) return checked.error();
      return spec.text;
    case GrammarKind::kJsonObject:
      return json_schema_to_ebnf(R"({"type": "object"})", spec.strict, spec.whitespace, limits);
    case GrammarKind::kJsonSchema:
      return json_schema_to_ebnf(spec.text, spec.strict, spec.whitespace, limits);
    case GrammarKind::kText:
    case GrammarKind::kStructuralTag:
      break;
  }
  return internal_error("a structural tag has a notation of its own");
}

}  // namespace ernie::grammar
