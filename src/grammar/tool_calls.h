#pragma once

#include <string>

#include "base/result.h"
#include "grammar/grammar_spec.h"

namespace ernie::grammar {

// The structural tag, in XGrammar's notation, of an answer with tool calls (`spec.calls`). An error
// in a tool's parameters names the tool's field.
Result<std::string> tool_calls_tag(const GrammarSpec& spec, const GrammarLimits& limits);

}  // namespace ernie::grammar
