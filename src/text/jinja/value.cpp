#include "text/jinja/value.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace ernie::text::jinja {
namespace {

// Python's repr() of a string.
String quoted(const String& text) {
  const char32_t quote =
      text.find(U'\'') != String::npos && text.find(U'"') == String::npos ? U'"' : U'\'';
  String out(1, quote);
  for (char32_t c : text) {
    const char32_t bare = MarkBlindTraits::bare(c);
    const char32_t mark = c & kUserMark;
    const auto escape = [&](char32_t letter) {
      out += U'\\' | mark;
      out += letter | mark;
    };
    if (bare == quote || bare == U'\\') {
      escape(bare);
    } else if (bare == U'\n') {
      escape(U'n');
    } else if (bare == U'\r') {
      escape(U'r');
    } else if (bare == U'\t') {
      escape(U't');
    } else {
      out += c;
    }
  }
  return out + quote;
}

String repr(const Value& value) {
  if (value.string()) return quoted(*value.string());
  if (value.is_undefined()) return U"Undefined";
  return to_string(value);
}

String ascii(std::string_view text) { return String(text.begin(), text.end()); }

}  // namespace

int MarkBlindTraits::compare(const char32_t* a, const char32_t* b, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (!eq(a[i], b[i])) return lt(a[i], b[i]) ? -1 : 1;
  }
  return 0;
}

const char32_t* MarkBlindTraits::find(const char32_t* s, size_t n, const char32_t& c) {
  const char32_t* found = std::find_if(s, s + n, [&](char32_t x) { return eq(x, c); });
  return found == s + n ? nullptr : found;
}

String from_utf8(std::string_view text, bool from_user) {
  String out;
  out.reserve(text.size());
  const char32_t mark = from_user ? kUserMark : 0;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const bool valid = step.kind == Utf8::kChar;
    out += (valid ? step.value : U'\uFFFD') | mark;
    text.remove_prefix(valid ? step.bytes : 1);
  }
  return out;
}

std::string to_utf8(StringView text) {
  std::string out;
  for (char32_t c : text) append_utf8(MarkBlindTraits::bare(c), out);
  return out;
}

const Value* Args::find(size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value::Value(String s) : data_(std::make_shared<const String>(std::move(s))) {}
Value::Value(List list) {
  for (const Value& item : list) depth_ = std::max(depth_, item.depth_);
  ++depth_;
  data_ = std::make_shared<const List>(std::move(list));
}
Value::Value(Dict dict) {
  for (const auto& [key, item] : dict) depth_ = std::max(depth_, item.depth_);
  ++depth_;
  data_ = std::make_shared<const Dict>(std::move(dict));
}
Value::Value(Function function) : data_(std::make_shared<const Function>(std::move(function))) {}

Namespace* Value::name_space() const {
  const auto* held = std::get_if<Namespace*>(&data_);
  return held ? *held : nullptr;
}

int64_t Value::as_integer() const {
  if (is_bool()) return std::get<bool>(data_) ? 1 : 0;
  if (is_integer()) return std::get<int64_t>(data_);
  if (!is_float()) return 0;
  const double d = std::get<double>(data_);
  if (!(std::abs(d) < 9e18)) return 0;
  return static_cast<int64_t>(d);
}

double Value::as_float() const {
  if (is_float()) return std::get<double>(data_);
  return static_cast<double>(as_integer());
}

bool Value::truthy() const {
  if (is_number()) return as_float() != 0;
  if (const String* s = string()) return !s->empty();
  if (const List* l = list()) return !l->empty();
  if (const Dict* d = dict()) return !d->empty();
  return name_space() || function();
}

const char* Value::type_name() const {
  constexpr const char* kNames[] = {"undefined", "none", "bool", "int",       "float",
                                    "str",       "list", "dict", "namespace", "function"};
  return kNames[data_.index()];
}

const Value* find(const Dict& dict, StringView key) {
  for (const auto& [name, value] : dict) {
    if (name == key) return &value;
  }
  return nullptr;
}

void assign(Dict& dict, String key, Value value) {
  for (auto& [name, old] : dict) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  dict.emplace_back(std::move(key), std::move(value));
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.as_float() == b.as_float();
    return a.as_integer() == b.as_integer();
  }
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.list() && b.list()) {
    return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(),
                      equal);
  }
  if (a.dict() && b.dict()) {
    if (a.dict()->size() != b.dict()->size()) return false;
    return std::all_of(a.dict()->begin(), a.dict()->end(), [&](const auto& entry) {
      const Value* other = find(*b.dict(), entry.first);
      return other && equal(entry.second, *other);
    });
  }
  if (a.name_space() || b.name_space()) return a.name_space() == b.name_space();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

String number_text(double value) {
  if (std::isnan(value)) return U"nan";
  if (std::isinf(value)) return value < 0 ? U"-inf" : U"inf";
  const double size = std::abs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  char buffer[64];
  const auto result =
      std::to_chars(buffer, buffer + sizeof(buffer), value,
                    fixed ? std::chars_format::fixed : std::chars_format::scientific);
  String text = ascii({buffer, result.ptr});
  if (fixed && text.find(U'.') == String::npos) text += U".0";
  return text;
}

String to_string(const Value& value) {
  if (value.string()) return *value.string();
  if (value.is_undefined()) return {};
  if (value.is_none()) return U"None";
  if (value.is_bool()) return value.truthy() ? U"True" : U"False";
  if (value.is_integer()) return ascii(std::to_string(value.as_integer()));
  if (value.is_float()) return number_text(value.as_float());
  String out;
  if (const List* list = value.list()) {
    for (const Value& item : *list) out += (out.empty() ? String() : String(U", ")) + repr(item);
    return U"[" + out + U"]";
  }
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, item] : *dict) {
      out += (out.empty() ? String() : String(U", ")) + quoted(key) + U": " + repr(item);
    }
    return U"{" + out + U"}";
  }
  return value.name_space() ? U"<namespace>" : U"<function>";
}

Value from_json(const boost::json::value& json, bool from_user) {
  switch (json.kind()) {
    case boost::json::kind::null:
      return None{};
    case boost::json::kind::bool_:
      return json.get_bool();
    case boost::json::kind::int64:
      return json.get_int64();
    case boost::json::kind::uint64:
      return static_cast<double>(json.get_uint64());
    case boost::json::kind::double_:
      return json.get_double();
    case boost::json::kind::string:
      return from_utf8(json.get_string(), from_user);
    case boost::json::kind::array: {
      List list;
      for (const auto& item : json.get_array()) list.push_back(from_json(item, from_user));
      return list;
    }
    case boost::json::kind::object: {
      Dict dict;
      for (const auto& [key, item] : json.get_object()) {
        dict.emplace_back(from_utf8(key, from_user), from_json(item, from_user));
      }
      return dict;
    }
  }
  return {};
}

}  // namespace ernie::text::jinja
