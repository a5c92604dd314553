#pragma once

#include <string>

#include "text/jinja/context.h"

namespace ernie::text::jinja {

// The operators, with Python's meaning. A wrong type is an error of the context.
Value negate(Context& context, const std::string& sign, const Value& value);
Value arithmetic(Context& context, const std::string& op, const Value& left, const Value& right);
bool compare(Context& context, const std::string& op, const Value& left, const Value& right);
// object[begin:end:step]; none for a bound that is not given.
Value slice(Context& context, const Value& object, const Value& begin, const Value& end,
            const Value& step);

}  // namespace ernie::text::jinja
