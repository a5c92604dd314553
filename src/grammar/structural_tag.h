#pragma once

#include <string>

#include "base/result.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// A structural tag in which schemas and regular expressions are replaced by the grammars that
// to_ebnf() makes of them, for XGrammar, which would be laxer with them.
Result<std::string> checked_structural_tag(const GrammarSpec& spec, const GrammarLimits& limits);

}  // namespace ernie::grammar
