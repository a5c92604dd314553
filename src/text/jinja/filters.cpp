#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

using V = const Value&;
using A = const Args&;

bool flag(A args, size_t position, std::string_view name) {
  const Value* value = args.find(position, name);
  return value && value->truthy();
}

Value length(Context& context, V value, A) {
  if (value.string()) return static_cast<int64_t>(value.string()->size());
  if (value.list()) return static_cast<int64_t>(value.list()->size());
  if (value.dict()) return static_cast<int64_t>(value.dict()->size());
  if (value.is_undefined()) return int64_t{0};
  return context.fail(std::string("length: expected a string or list, found ") + value.type_name());
}

Value default_filter(Context&, V value, A args) {
  const bool use = value.is_undefined() || (flag(args, 1, "boolean") && !value.truthy());
  if (!use) return value;
  const Value* otherwise = args.find(0, "default_value");
  return otherwise ? *otherwise : Value(String());
}

template <bool kLast>
Value end_filter(Context& context, V value, A) {
  const List list = context.items(value);
  if (list.empty()) return Undefined{kLast ? "last" : "first"};
  return kLast ? list.back() : list.front();
}

Value trim(Context& context, V value, A args) {
  const Value* chars = args.find(0, "chars");
  const String text = to_string(value);
  if (!context.charge(text.size())) return {};
  return strip(text, chars ? chars->string() : nullptr, true, true);
}

Value tojson(Context& context, V value, A args) {
  const Value* indent = args.find(1, "indent");
  const bool indented = indent && indent->is_integer();
  return to_json(context, value, indented ? std::max<int64_t>(indent->as_integer(), 0) : -1,
                 flag(args, 3, "sort_keys"));
}

// Follows "a.b" from member to member; all digits are an index.
Value attribute(Context& context, V value, const Value& path) {
  if (path.is_integer()) return context.member(value, path);
  Value found = value;
  String rest = to_string(path);
  while (!context.failed()) {
    const size_t dot = rest.find(U'.');
    found = context.member(found, rest.substr(0, dot));
    if (dot == String::npos) break;
    rest.erase(0, dot + 1);
  }
  return found;
}

Value join_filter(Context& context, V value, A args) {
  const Value* separator = args.find(0, "d");
  const Value* path = args.find(1, "attribute");
  List list = context.items(value);
  for (Value& item : list) {
    if (path) item = attribute(context, item, *path);
  }
  return join(context, list, separator ? to_string(*separator) : String());
}

Value map(Context& context, V value, A args) {
  List list = context.items(value);
  const Value* path = args.find(SIZE_MAX, "attribute");
  const Value* otherwise = args.find(SIZE_MAX, "default");
  if (!path && args.positional.empty()) return context.fail("map: expected a filter or attribute");
  Args rest = args;
  if (!path) rest.positional.erase(rest.positional.begin());
  for (Value& item : list) {
    if (context.failed()) return {};
    if (path) {
      item = attribute(context, item, *path);
      if (item.is_undefined() && otherwise) item = *otherwise;
    } else {
      item = context.call_filter(to_utf8(to_string(args.positional[0])), item, rest);
    }
  }
  return list;
}

// select, reject, selectattr, rejectattr: [attribute,] [test, arguments of the test]
template <bool kKeep, bool kAttribute>
Value choose(Context& context, V value, A args) {
  const size_t skip = kAttribute ? 1 : 0;
  if (args.positional.size() < skip) return context.fail("expected the name of an attribute");
  const bool has_test = args.positional.size() > skip;
  Args rest;
  if (has_test) rest.positional.assign(args.positional.begin() + skip + 1, args.positional.end());
  List kept;
  for (const Value& item : context.items(value)) {
    const Value tested = kAttribute ? attribute(context, item, args.positional[0]) : item;
    const bool holds =
        has_test ? context.call_test(to_utf8(to_string(args.positional[skip])), tested, rest)
                 : tested.truthy();
    if (context.failed()) return {};
    if (holds == kKeep) kept.push_back(item);
  }
  return kept;
}

Value list_filter(Context& context, V value, A) { return context.items(value); }
Value string_filter(Context&, V value, A) { return to_string(value); }

template <char kHow>
Value case_filter(Context& context, V value, A) {
  return change_case(context, to_string(value), kHow);
}

Value replace_filter(Context& context, V value, A args) {
  const Value* old = args.find(0, "old");
  const Value* fresh = args.find(1, "new");
  const Value* count = args.find(2, "count");
  if (!old || !fresh) return context.fail("replace: expected two strings");
  return replace(context, to_string(value), to_string(*old), to_string(*fresh),
                 count && count->is_integer() ? count->as_integer() : -1);
}

// indent(width=4, first=False, blank=False)
Value indent(Context& context, V value, A args) {
  const Value* width = args.find(0, "width");
  String margin(4, U' ');
  if (width && width->string()) margin = *width->string();
  if (width && width->is_integer())
    margin.assign(std::clamp<int64_t>(width->as_integer(), 0, 1000), U' ');
  const bool blank = flag(args, 2, "blank");
  const String text = to_string(value);
  String out;
  for (size_t begin = 0, line = 0; begin <= text.size(); ++line) {
    const size_t newline = text.find(U'\n', begin);
    const size_t end = newline == String::npos ? text.size() : newline + 1;
    const bool is_blank = end - begin == (newline == String::npos ? 0u : 1u);
    const bool wanted = line == 0 ? flag(args, 1, "first") : blank || !is_blank;
    if (!context.charge(margin.size() + end - begin)) return {};
    if (wanted) out += margin;
    out.append(text, begin, end - begin);
    if (newline == String::npos) break;
    begin = end;
  }
  return out;
}

Value items_filter(Context& context, V value, A args) {
  if (value.is_undefined()) return List{};
  const FilterFunction items = find_method(value, "items");
  return items ? items(context, value, args) : context.fail("items: expected a dict");
}

// sort(reverse=False, case_sensitive=False, attribute=None); dictsort sorts items by key.
Value sort_list(Context& context, List list, bool reverse, bool case_sensitive, const Value* path) {
  std::vector<std::pair<Value, Value>> keyed;  // what to sort by, and the item
  for (Value& item : list) {
    Value key = path ? attribute(context, item, *path) : item;
    if (key.string() && !case_sensitive) key = change_case(context, *key.string(), 'l');
    keyed.emplace_back(std::move(key), std::move(item));
  }
  if (!context.charge(16 * keyed.size()) || context.failed()) return {};
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(context, b.first, a.first) : less(context, a.first, b.first);
  });
  list.clear();
  for (auto& [key, item] : keyed) list.push_back(std::move(item));
  return list;
}

Value sort(Context& context, V value, A args) {
  return sort_list(context, context.items(value), flag(args, 0, "reverse"),
                   flag(args, 1, "case_sensitive"), args.find(2, "attribute"));
}

Value dictsort(Context& context, V value, A args) {
  const Value pairs = items_filter(context, value, {});
  const Value key = int64_t{0};
  return sort_list(context, context.items(pairs), flag(args, 2, "reverse"),
                   flag(args, 0, "case_sensitive"), &key);
}

Value unique(Context& context, V value, A) {
  List kept;
  for (const Value& item : context.items(value)) {
    if (!contains(context, kept, item)) kept.push_back(item);
  }
  return kept;
}

Value reverse(Context& context, V value, A) {
  if (value.string()) return String(value.string()->rbegin(), value.string()->rend());
  List list = context.items(value);
  std::reverse(list.begin(), list.end());
  return list;
}

template <bool kLargest>
Value extreme(Context& context, V value, A) {
  Value best = Undefined{kLargest ? "max" : "min"};
  for (const Value& item : context.items(value)) {
    if (best.is_undefined() || (kLargest ? less(context, best, item) : less(context, item, best))) {
      best = item;
    }
  }
  return best;
}

Value int_filter(Context&, V value, A args) {
  const Value* otherwise = args.find(0, "default");
  Value fallback = otherwise ? *otherwise : Value(int64_t{0});
  if (value.is_number()) return value.as_integer();
  if (!value.string()) return fallback;
  const std::string text = to_utf8(strip(*value.string(), nullptr, true, true));
  double real = 0;
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  if (auto [last, code] = std::from_chars(text.data(), end, integer);
      code == std::errc{} && last == end) {
    return integer;
  }
  const auto [last, code] = std::from_chars(text.data(), end, real);
  return code == std::errc{} && last == end ? Value(Value(real).as_integer()) : fallback;
}

Value float_filter(Context&, V value, A args) {
  const Value* otherwise = args.find(0, "default");
  if (value.is_number()) return value.as_float();
  double real = 0;
  if (value.string()) {
    const std::string text = to_utf8(strip(*value.string(), nullptr, true, true));
    const auto [last, code] = std::from_chars(text.data(), text.data() + text.size(), real);
    if (code == std::errc{} && last == text.data() + text.size()) return real;
  }
  return otherwise ? *otherwise : Value(0.0);
}

Value abs_filter(Context& context, V value, A) {
  if (!value.is_number()) return context.fail("abs: expected a number");
  if (value.is_float()) return std::abs(value.as_float());
  return value.as_integer() < 0 ? -value.as_integer() : value.as_integer();
}

Value escape(Context& context, V value, A) {
  Value text = to_string(value);
  constexpr std::pair<StringView, StringView> kEntities[] = {
      {U"&", U"&amp;"}, {U"<", U"&lt;"}, {U">", U"&gt;"}, {U"'", U"&#39;"}, {U"\"", U"&#34;"}};
  for (const auto& [from, to] : kEntities) {
    if (text.string()) text = replace(context, *text.string(), String(from), String(to), -1);
  }
  return text;
}

}  // namespace

FilterFunction find_filter(const std::string& name) {
  static const std::unordered_map<std::string, FilterFunction> kFilters = {
      {"abs", abs_filter},
      {"capitalize", case_filter<'c'>},
      {"count", length},
      {"d", default_filter},
      {"default", default_filter},
      {"dictsort", dictsort},
      {"e", escape},
      {"escape", escape},
      {"first", end_filter<false>},
      {"float", float_filter},
      {"indent", indent},
      {"int", int_filter},
      {"items", items_filter},
      {"join", join_filter},
      {"last", end_filter<true>},
      {"length", length},
      {"list", list_filter},
      {"lower", case_filter<'l'>},
      {"map", map},
      {"max", extreme<true>},
      {"min", extreme<false>},
      {"reject", choose<false, false>},
      {"rejectattr", choose<false, true>},
      {"replace", replace_filter},
      {"reverse", reverse},
      {"safe", string_filter},
      {"select", choose<true, false>},
      {"selectattr", choose<true, true>},
      {"sort", sort},
      {"string", string_filter},
      {"title", case_filter<'t'>},
      {"tojson", tojson},
      {"trim", trim},
      {"unique", unique},
      {"upper", case_filter<'u'>},
  };
  const auto it = kFilters.find(name);
  return it == kFilters.end() ? nullptr : it->second;
}

}  // namespace ernie::text::jinja
