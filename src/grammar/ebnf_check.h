#pragma once

#include <string_view>

#include "base/result.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// Refuses what XGrammar's parser would take too long for, read otherwise than GBNF does, or take as
// an order to the sampler: deep brackets, large repeat counts, macros such as Token() and
// attributes such as root[temperature=0]. Whether the grammar is well formed is left to the parser.
Status check_ebnf(std::string_view grammar, const GrammarLimits& limits);

}  // namespace ernie::grammar
