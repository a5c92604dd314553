#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ernie::grammar {

// A regular expression of texts of a format of JSON Schema, not of all of them. Nothing if the
// format is not known.
std::optional<std::string> format_pattern(std::string_view format);

}  // namespace ernie::grammar
