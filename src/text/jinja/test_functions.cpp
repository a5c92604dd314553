#include <algorithm>
#include <unordered_map>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

using V = const Value&;
using A = const Args&;

Value first(A args) { return args.positional.empty() ? Value() : args.positional[0]; }

bool whole(Context& context, V value) {
  if (!value.is_number()) context.fail("expected a number");
  return !context.failed();
}

bool divides(Context& context, V value, V divisor) {
  if (!whole(context, value) || !whole(context, divisor)) return false;
  const int64_t d = divisor.as_integer();
  if (d == 0) context.fail("division by zero");
  return d == -1 || (d != 0 && value.as_integer() % d == 0);
}

bool all_case(V value, char32_t low, char32_t high) {  // no letter from low to high
  const String text = to_string(value);
  bool letters = false;
  for (char32_t c : text) {
    const char32_t bare = MarkBlindTraits::bare(c);
    if (bare >= low && bare <= high) return false;
    letters |= (bare | 0x20) >= U'a' && (bare | 0x20) <= U'z';
  }
  return letters;
}

}  // namespace

TestFunction find_test(const std::string& name) {
  static const std::unordered_map<std::string, TestFunction> kTests = {
      {"defined", [](Context&, V v, A) { return !v.is_undefined(); }},
      {"undefined", [](Context&, V v, A) { return v.is_undefined(); }},
      {"none", [](Context&, V v, A) { return v.is_none(); }},
      {"string", [](Context&, V v, A) { return v.is_string(); }},
      {"number", [](Context&, V v, A) { return v.is_number(); }},
      {"integer", [](Context&, V v, A) { return v.is_integer(); }},
      {"float", [](Context&, V v, A) { return v.is_float(); }},
      {"boolean", [](Context&, V v, A) { return v.is_bool(); }},
      {"true", [](Context&, V v, A) { return v.is_bool() && v.truthy(); }},
      {"false", [](Context&, V v, A) { return v.is_bool() && !v.truthy(); }},
      {"mapping", [](Context&, V v, A) { return v.dict() != nullptr; }},
      {"iterable",
       [](Context&, V v, A) { return v.is_string() || v.list() || v.dict() || v.is_undefined(); }},
      {"sequence",
       [](Context&, V v, A) { return v.is_string() || v.list() || v.dict() || v.is_undefined(); }},
      {"callable", [](Context&, V v, A) { return v.function() != nullptr; }},
      {"odd", [](Context& c, V v, A) { return whole(c, v) && v.as_integer() % 2 != 0; }},
      {"even", [](Context& c, V v, A) { return whole(c, v) && v.as_integer() % 2 == 0; }},
      {"divisibleby", [](Context& c, V v, A a) { return divides(c, v, first(a)); }},
      {"in", [](Context& c, V v, A a) { return contains(c, first(a), v); }},
      {"eq", [](Context&, V v, A a) { return equal(v, first(a)); }},
      {"equalto", [](Context&, V v, A a) { return equal(v, first(a)); }},
      {"sameas",
       [](Context&, V v, A a) {
         return std::string(v.type_name()) == first(a).type_name() && equal(v, first(a));
       }},
      {"ne", [](Context&, V v, A a) { return !equal(v, first(a)); }},
      {"lt", [](Context& c, V v, A a) { return less(c, v, first(a)); }},
      {"gt", [](Context& c, V v, A a) { return less(c, first(a), v); }},
      {"le", [](Context& c, V v, A a) { return !less(c, first(a), v) && !c.failed(); }},
      {"ge", [](Context& c, V v, A a) { return !less(c, v, first(a)) && !c.failed(); }},
      {"lower", [](Context&, V v, A) { return all_case(v, U'A', U'Z'); }},
      {"upper", [](Context&, V v, A) { return all_case(v, U'a', U'z'); }},
  };
  const auto it = kTests.find(name);
  return it == kTests.end() ? nullptr : it->second;
}

}  // namespace ernie::text::jinja
