#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "grammar/code_set.h"

namespace ernie::grammar {

// The characters that cannot stand for themselves in a JSON string.
const CodeSet& json_escaped_characters();

// The shortest escape of such a character.
std::string json_escape(char32_t value);

// A string with quotes around it; `text` is valid UTF-8.
std::string json_quoted(std::string_view text);

// A value without whitespace, as a model would write it: 1.5 and not 1.5E0.
std::string json_text(const boost::json::value& value);

// Equality of JSON Schema: 1 and 1.0 are equal, the order of an object's members does not count.
bool json_equal(const boost::json::value& a, const boost::json::value& b);

}  // namespace ernie::grammar
