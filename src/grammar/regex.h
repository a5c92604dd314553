#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/code_set.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// A regular expression that matches a whole text.
struct Regex {
  enum class Kind { kEmpty, kClass, kSequence, kAlternatives, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kEmpty;
  CodeSet set;               // of kClass
  std::vector<Regex> parts;  // of kSequence and kAlternatives; the repeated one of kRepeat
  size_t min = 0;            // of kRepeat
  static constexpr size_t kUnbounded = static_cast<size_t>(-1);
  size_t max = kUnbounded;
};

// Reads what ECMA-262 and Python's `re` have in common. `^` and `$` may stand where they always
// hold: at the beginning and the end. Look-around, backreferences, `\b`, flags and `\p` are errors.
Result<Regex> parse_regex(std::string_view pattern, const GrammarLimits& limits);

enum class RegexText {
  kPlain,       // the text itself
  kJsonString,  // between the quotes of a JSON string, with what must be escaped there escaped
};

// The expression in the notation of XGrammar.
std::string regex_ebnf(const Regex& regex, RegexText text);

}  // namespace ernie::grammar
