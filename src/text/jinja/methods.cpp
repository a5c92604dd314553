#include <algorithm>
#include <unordered_map>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

using V = const Value&;
using A = const Args&;

const String* string_at(A args, size_t position, std::string_view name) {
  const Value* value = args.find(position, name);
  return value ? value->string() : nullptr;
}

int64_t integer_at(A args, size_t position, std::string_view name, int64_t otherwise) {
  const Value* value = args.find(position, name);
  return value && value->is_integer() ? value->as_integer() : otherwise;
}

template <bool kLeft, bool kRight>
Value strip_method(Context& context, V text, A args) {
  if (!context.charge(text.string()->size())) return {};
  return strip(*text.string(), string_at(args, 0, "chars"), kLeft, kRight);
}

// Python's str.split() and, with `from_right`, str.rsplit().
template <bool kFromRight>
Value split(Context& context, V value, A args) {
  String text = *value.string();
  if (!context.charge(2 * text.size())) return {};
  const String* separator = string_at(args, 0, "sep");
  if (separator && separator->empty()) return context.fail("split: expected a separator");
  int64_t left = integer_at(args, 1, "maxsplit", -1);
  // A split at white space takes runs of it, and none at the ends.
  if (!separator) {
    String normal = strip(text, nullptr, true, true);
    List words;
    while (!normal.empty()) {
      size_t cut = 0;
      if (kFromRight) {
        cut = normal.size();
        while (left != 0 && cut > 0 &&
               !strip(normal.substr(cut - 1, 1), nullptr, true, true).empty()) {
          --cut;
        }
        if (left == 0) cut = 0;
        words.insert(words.begin(), normal.substr(cut));
        normal = strip(normal.substr(0, cut), nullptr, false, true);
      } else {
        while (cut < normal.size() &&
               (left == 0 || !strip(normal.substr(cut, 1), nullptr, true, true).empty())) {
          ++cut;
        }
        words.push_back(normal.substr(0, cut));
        normal = strip(normal.substr(cut), nullptr, true, false);
      }
      if (!context.charge(kItemCost + normal.size())) return {};
      --left;
    }
    return words;
  }
  List parts;
  if (kFromRight) {
    for (size_t end = text.size(); left != 0 && end >= separator->size(); --left) {
      const size_t at = text.rfind(*separator, end - separator->size());
      if (at == String::npos || !context.charge(kItemCost)) break;
      parts.push_back(text.substr(at + separator->size(), end - at - separator->size()));
      text.resize(at);
      end = at;
    }
    parts.push_back(std::move(text));
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  for (; left != 0 && context.charge(kItemCost); --left) {
    const size_t at = text.find(*separator, begin);
    if (at == String::npos) break;
    parts.push_back(text.substr(begin, at - begin));
    begin = at + separator->size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

Value split_lines(Context& context, V value, A args) {
  const String& text = *value.string();
  const Value* keep = args.find(0, "keepends");
  List lines;
  for (size_t begin = 0; begin < text.size() && context.charge(kItemCost);) {
    const size_t newline = text.find(U'\n', begin);
    const size_t end = newline == String::npos ? text.size() : newline;
    const size_t next = newline == String::npos ? end : end + 1;
    lines.push_back(text.substr(begin, (keep && keep->truthy() ? next : end) - begin));
    begin = next;
  }
  return lines;
}

// startswith and endswith take a string or a list of strings.
template <bool kEnd>
Value has_affix(Context& context, V value, A args) {
  const Value* wanted = args.find(0, "prefix");
  if (!wanted || (!wanted->string() && !wanted->list())) {
    return context.fail("startswith and endswith: expected a string");
  }
  const auto has = [&](const Value& affix) {
    if (!affix.string()) return false;
    return kEnd ? value.string()->ends_with(*affix.string())
                : value.string()->starts_with(*affix.string());
  };
  if (wanted->string()) return has(*wanted);
  return std::any_of(wanted->list()->begin(), wanted->list()->end(), has);
}

template <bool kEnd>
Value remove_affix(Context& context, V value, A args) {
  const String* affix = string_at(args, 0, "prefix");
  if (!affix || !has_affix<kEnd>(context, value, args).truthy()) return value;
  const size_t left = value.string()->size() - affix->size();
  return value.string()->substr(kEnd ? 0 : affix->size(), left);
}

Value replace_method(Context& context, V value, A args) {
  const String* old = string_at(args, 0, "old");
  const String* fresh = string_at(args, 1, "new");
  if (!old || !fresh) return context.fail("replace: expected two strings");
  return replace(context, *value.string(), *old, *fresh, integer_at(args, 2, "count", -1));
}

template <char kHow>
Value case_method(Context& context, V value, A) {
  return change_case(context, *value.string(), kHow);
}

Value find_in(Context& context, V value, A args) {
  const String* wanted = string_at(args, 0, "sub");
  if (!wanted) return context.fail("find: expected a string");
  const size_t at = value.string()->find(*wanted);
  return at == String::npos ? int64_t{-1} : static_cast<int64_t>(at);
}

Value count_in(Context& context, V value, A args) {
  if (const List* list = value.list()) {
    const Value* wanted = args.find(0, "value");
    return static_cast<int64_t>(std::count_if(list->begin(), list->end(), [&](const Value& item) {
      return wanted && equal(item, *wanted);
    }));
  }
  const String* wanted = string_at(args, 0, "sub");
  if (!wanted || wanted->empty()) return context.fail("count: expected a string");
  int64_t count = 0;
  const String& text = *value.string();
  for (size_t at = text.find(*wanted); at != String::npos;
       at = text.find(*wanted, at + wanted->size())) {
    ++count;
  }
  return count;
}

Value is_digits(Context&, V value, A) {
  return !value.string()->empty() &&
         std::all_of(value.string()->begin(), value.string()->end(), [](char32_t c) {
           return MarkBlindTraits::bare(c) >= U'0' && MarkBlindTraits::bare(c) <= U'9';
         });
}

Value join_method(Context& context, V separator, A args) {
  const Value* list = args.find(0, "iterable");
  if (!list) return context.fail("join: expected a list");
  return join(context, context.items(*list), *separator.string());
}

Value get(Context&, V value, A args) {
  const String* key = string_at(args, 0, "key");
  if (const Value* found = key ? find(*value.dict(), *key) : nullptr) return *found;
  const Value* otherwise = args.find(1, "default");
  return otherwise ? *otherwise : Value(None{});
}

Value keys(Context& context, V value, A) { return context.items(value); }

Value values(Context& context, V value, A) {
  List list;
  if (!context.charge(kItemCost * value.dict()->size())) return {};
  for (const auto& [key, item] : *value.dict()) list.push_back(item);
  return list;
}

Value items(Context& context, V value, A) {
  List list;
  if (!context.charge(kItemCost * value.dict()->size())) return {};
  for (const auto& [key, item] : *value.dict()) list.push_back(List{key, item});
  return list;
}

}  // namespace

FilterFunction find_method(const Value& object, const std::string& name) {
  using Table = std::unordered_map<std::string, FilterFunction>;
  static const Table kStringMethods = {
      {"split", split<false>},
      {"rsplit", split<true>},
      {"splitlines", split_lines},
      {"strip", strip_method<true, true>},
      {"lstrip", strip_method<true, false>},
      {"rstrip", strip_method<false, true>},
      {"startswith", has_affix<false>},
      {"endswith", has_affix<true>},
      {"removeprefix", remove_affix<false>},
      {"removesuffix", remove_affix<true>},
      {"replace", replace_method},
      {"upper", case_method<'u'>},
      {"lower", case_method<'l'>},
      {"title", case_method<'t'>},
      {"capitalize", case_method<'c'>},
      {"find", find_in},
      {"count", count_in},
      {"isdigit", is_digits},
      {"join", join_method},
  };
  static const Table kDictMethods = {
      {"get", get}, {"keys", keys}, {"values", values}, {"items", items}};
  static const Table kListMethods = {{"count", count_in}};
  const Table* table = object.string() ? &kStringMethods
                       : object.dict() ? &kDictMethods
                       : object.list() ? &kListMethods
                                       : nullptr;
  if (!table) return nullptr;
  const auto it = table->find(name);
  return it == table->end() ? nullptr : it->second;
}

}  // namespace ernie::text::jinja
