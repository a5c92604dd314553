#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/code_set.h"
#include "grammar/ebnf_text.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// A regular expression that matches a whole text.
struct Regex {
  enum class Kind { kEmpty, kClass, kSequence, kAlternatives, kRepeat, kBegin, kEnd };
  Kind kind = Kind::kEmpty;
  CodeSet set;               // of kClass
  std::vector<Regex> parts;  // of kSequence and kAlternatives; the repeated one of kRepeat
  size_t min = 0;            // of kRepeat
  size_t max = kUnbounded;
};

// Reads what ECMA-262 and Python's `re` have in common. `^` and `$` may stand where they always
// hold: at the beginning and the end. Look-around, backreferences, `\b`, flags and `\p` are errors.
Result<Regex> parse_regex(std::string_view pattern, const GrammarLimits& limits);

enum class RegexText {
  kPlain,       // the text itself
  kJsonString,  // in a JSON string, escaped as it must be there, with the quote at the end
};

// Rules for what the expression matches, from PREFIX0, in the notation of XGrammar. They are those
// of a deterministic automaton, since a grammar that can read a text in many ways is slow to
// follow. `next`, if it is known, is a class that holds every character that may follow.
Result<std::string> regex_rules(const Regex& regex, RegexText text, std::string_view prefix,
                                std::string_view next = {});

}  // namespace ernie::grammar
