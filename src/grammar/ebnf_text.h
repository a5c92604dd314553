#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "grammar/code_set.h"

namespace ernie::grammar {

// Pieces of a grammar in the notation of XGrammar, an extension of GBNF.

// A quoted literal; `text` is valid UTF-8.
std::string ebnf_literal(std::string_view text);

// One character of the set, which must not be empty.
std::string ebnf_class(const CodeSet& set);

// Makes a rule of a body and returns its name.
using AddRule = std::function<std::string(std::string body)>;

constexpr size_t kUnbounded = static_cast<size_t>(-1);

// An element (a name, a literal, a class or something in brackets) from `min` to `max` times.
// XGrammar follows each copy of a count above 128 on its own, which makes masks slow; large counts
// are therefore written as blocks of blocks.
std::string ebnf_repeat(const std::string& element, size_t min, size_t max,
                        const AddRule& add_rule);

}  // namespace ernie::grammar
