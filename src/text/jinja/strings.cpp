#include <algorithm>

#include "text/jinja/functions.h"

namespace ernie::text::jinja {
namespace {

bool is_space(char32_t c) {
  const char32_t b = MarkBlindTraits::bare(c);
  return (b >= 9 && b <= 13) || (b >= 28 && b <= 32) || b == 0x85 || b == 0xA0 || b == 0x1680 ||
         (b >= 0x2000 && b <= 0x200A) || b == 0x2028 || b == 0x2029 || b == 0x202F || b == 0x205F ||
         b == 0x3000;
}

bool is_letter(char32_t c) {
  const char32_t lower = MarkBlindTraits::bare(c) | 0x20;
  return lower >= U'a' && lower <= U'z';
}

}  // namespace

String strip(const String& text, const String* characters, bool left, bool right) {
  const auto goes = [&](char32_t c) {
    return characters ? characters->find(c) != String::npos : is_space(c);
  };
  size_t begin = 0, end = text.size();
  while (left && begin < end && goes(text[begin])) ++begin;
  while (right && end > begin && goes(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

Value replace(Context& context, const String& text, const String& old, const String& fresh,
              int64_t count) {
  if (!context.charge(text.size())) return {};
  String out;
  size_t done = 0;
  while (count != 0 && !context.failed()) {
    // An empty `old` stands before each character and at the end.
    const size_t at = old.empty() ? done : text.find(old, done);
    if (at == String::npos || at > text.size()) break;
    if (!context.charge(fresh.size())) return {};
    out.append(text, done, at - done);
    out += fresh;
    done = at + old.size();
    if (old.empty()) {
      if (done == text.size()) return out;
      out += text[done++];
    }
    --count;
  }
  return done < text.size() ? out + text.substr(done) : out;
}

Value change_case(Context& context, const String& text, char how) {
  if (!context.charge(text.size())) return {};
  String out = text;
  bool inside = false;  // of a word; for capitalise, of the text
  for (char32_t& c : out) {
    if (is_letter(c)) {
      const bool up = how == 'u' || (how != 'l' && !inside);
      c = up ? c & ~char32_t{0x20} : c | 0x20;
    }
    inside = how == 'c' || is_letter(c);
  }
  return out;
}

Value join(Context& context, const List& items, const String& separator) {
  String out;
  for (size_t i = 0; i < items.size(); ++i) {
    const String text = to_string(items[i]);
    if (!context.charge(text.size() + separator.size())) return {};
    if (i > 0) out += separator;
    out += text;
  }
  return out;
}

bool less(Context& context, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.as_float() < b.as_float();
    return a.as_integer() < b.as_integer();
  }
  if (a.string() && b.string()) return *a.string() < *b.string();
  context.fail(std::string("expected two numbers or two strings to compare, found ") +
               a.type_name() + " and " + b.type_name());
  return false;
}

bool contains(Context& context, const Value& container, const Value& item) {
  if (const String* text = container.string()) {
    if (!item.string()) {
      context.fail(std::string("expected a string to look for in a string, found ") +
                   item.type_name());
      return false;
    }
    return context.charge(text->size() / 16) && text->find(*item.string()) != String::npos;
  }
  if (const Dict* dict = container.dict()) {
    return item.string() && find(*dict, *item.string()) != nullptr;
  }
  if (const List* list = container.list()) {
    return context.charge(list->size()) &&
           std::any_of(list->begin(), list->end(), [&](const Value& v) { return equal(v, item); });
  }
  if (!container.is_undefined()) {
    context.fail(std::string("expected a container after \"in\", found ") + container.type_name());
  }
  return false;
}

}  // namespace ernie::text::jinja
