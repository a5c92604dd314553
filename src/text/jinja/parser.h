#pragma once

#include <string_view>

#include "base/result.h"
#include "text/jinja/ast.h"

namespace ernie::text::jinja {

// Parses a template. Tags that would read files (include, import, extends) are errors.
Result<Body> parse(std::string_view source);

}  // namespace ernie::text::jinja
