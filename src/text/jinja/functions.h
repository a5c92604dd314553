#pragma once

#include <string>

#include "text/jinja/context.h"

namespace ernie::text::jinja {

// The language's built-in functions. Each table lookup gives null for an unknown name.
using FilterFunction = Value (*)(Context&, const Value&, const Args&);
using TestFunction = bool (*)(Context&, const Value&, const Args&);

FilterFunction find_filter(const std::string& name);
TestFunction find_test(const std::string& name);
// A method of strings, dicts or lists.
FilterFunction find_method(const Value& object, const std::string& name);
// range, dict, namespace, raise_exception, strftime_now; undefined for an unknown name.
Value find_global(const std::string& name);

// Shared by filters and methods.
String strip(const String& text, const String* characters, bool left, bool right);
Value replace(Context& context, const String& text, const String& old, const String& fresh,
              int64_t count);
Value change_case(Context& context, const String& text, char how);  // u, l, t(itle), c(apitalise)
Value join(Context& context, const List& items, const String& separator);
// Python's json.dumps(value, ensure_ascii=False, indent=..., sort_keys=...); indent < 0: one line.
Value to_json(Context& context, const Value& value, int64_t indent, bool sort_keys);
// Orders numbers and strings; an error for anything else.
bool less(Context& context, const Value& a, const Value& b);
// Whether `item` is in a list, dict or string.
bool contains(Context& context, const Value& container, const Value& item);

}  // namespace ernie::text::jinja
