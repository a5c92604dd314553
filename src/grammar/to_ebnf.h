#pragma once

#include <string>

#include "base/result.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// The error for a spec that goes beyond a limit.
Error too_complex(std::string message);

// The grammar of any spec but a structural tag, in XGrammar's notation, from the rule `root`.
// The language is never larger than what the spec says.
Result<std::string> to_ebnf(const GrammarSpec& spec, const GrammarLimits& limits);

}  // namespace ernie::grammar
