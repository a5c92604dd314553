#pragma once

#include <string>

#include "base/result.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// The grammar of the JSON texts that a schema allows, in XGrammar's notation, from the rule `root`.
// XGrammar's own converter ignores what it does not know; this one refuses a schema whose answers
// it cannot bound, by keyword and place. The language may be smaller than the schema's:
//  - properties come in the schema's order; an object that names properties has no others unless
//    additionalProperties or patternProperties says so; a key is written without escapes where
//    they could spell a named one,
//  - a schema without `type` that has keywords of some types stands for these types,
//  - `pattern` matches the whole string; strings with maxLength or minLength above 1 have no
//    escapes,
//  - numbers with bounds have no exponent, exponents have two digits, integers no fraction,
//  - `oneOf` needs options that cannot hold together.
// `strict` refuses objects that allow other properties than they name. `whitespace`: GrammarSpec.
Result<std::string> json_schema_to_ebnf(const std::string& schema, bool strict,
                                        const std::string& whitespace, const GrammarLimits& limits);

}  // namespace ernie::grammar
