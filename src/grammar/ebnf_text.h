#pragma once

#include <string>
#include <string_view>

#include "grammar/code_set.h"

namespace ernie::grammar {

// Pieces of a grammar in the notation of XGrammar, an extension of GBNF.

// A quoted literal; `text` is valid UTF-8.
std::string ebnf_literal(std::string_view text);

// One character of the set, which must not be empty.
std::string ebnf_class(const CodeSet& set);

}  // namespace ernie::grammar
