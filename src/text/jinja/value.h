#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ernie::text::jinja {

class Context;
class Value;

// Set in each code point of text that came with a request, so that rendered text still knows which
// of its characters the template wrote. Every string operation carries the mark along because it
// is part of the character; comparisons do not see it.
constexpr char32_t kUserMark = 0x8000'0000;

struct MarkBlindTraits : std::char_traits<char32_t> {
  static constexpr char32_t bare(char32_t c) { return c & ~kUserMark; }
  static constexpr bool eq(char32_t a, char32_t b) { return bare(a) == bare(b); }
  static constexpr bool lt(char32_t a, char32_t b) { return bare(a) < bare(b); }
  static int compare(const char32_t* a, const char32_t* b, size_t n);
  static const char32_t* find(const char32_t* s, size_t n, const char32_t& c);
};

// Strings are code points, as in Python.
using String = std::basic_string<char32_t, MarkBlindTraits>;
using StringView = std::basic_string_view<char32_t, MarkBlindTraits>;

String from_utf8(std::string_view text, bool from_user = false);
std::string to_utf8(StringView text);

struct Undefined {
  std::string name;  // what was looked up, for messages
};
struct None {};

using List = std::vector<Value>;
using Dict = std::vector<std::pair<String, Value>>;  // in order of insertion
struct Namespace {
  Dict fields;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at `position` or called `name`; null when not given.
  const Value* find(size_t position, std::string_view name) const;
};
using Function = std::function<Value(Context&, const Args&)>;

// A value of the template language. Immutable apart from Namespace, which the Context owns; copies
// are cheap.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined u) : data_(std::move(u)) {}  // NOLINT(google-explicit-constructor)
  Value(None n) : data_(n) {}                  // NOLINT(google-explicit-constructor)
  Value(bool b) : data_(b) {}                  // NOLINT(google-explicit-constructor)
  Value(int64_t i) : data_(i) {}               // NOLINT(google-explicit-constructor)
  Value(double d) : data_(d) {}                // NOLINT(google-explicit-constructor)
  Value(String s);                             // NOLINT(google-explicit-constructor)
  Value(List list);                            // NOLINT(google-explicit-constructor)
  Value(Dict dict);                            // NOLINT(google-explicit-constructor)
  Value(Namespace* space) : data_(space) {}    // NOLINT(google-explicit-constructor)
  Value(Function function);                    // NOLINT(google-explicit-constructor)
  Value(const void*) = delete;

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_integer() || is_float(); }
  bool is_string() const { return string() != nullptr; }

  // Null when the value is of another type.
  const String* string() const { return get_if<String>(); }
  const List* list() const { return get_if<List>(); }
  const Dict* dict() const { return get_if<Dict>(); }
  const Function* function() const { return get_if<Function>(); }
  Namespace* name_space() const;
  const std::string& undefined_name() const { return std::get<Undefined>(data_).name; }

  // Of a number (booleans count as 0 and 1).
  int64_t as_integer() const;
  double as_float() const;

  // How many lists and dicts stand inside one another.
  int depth() const { return depth_; }

  bool truthy() const;
  const char* type_name() const;  // as Python calls it

 private:
  template <typename T>
  const T* get_if() const {
    const auto* held = std::get_if<std::shared_ptr<const T>>(&data_);
    return held ? held->get() : nullptr;
  }

  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const String>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, Namespace*,
               std::shared_ptr<const Function>>
      data_;
  int depth_ = 0;
};

const Value* find(const Dict& dict, StringView key);
void assign(Dict& dict, String key, Value value);

bool equal(const Value& a, const Value& b);
String to_string(const Value& value);  // Python's str(); an undefined value is empty
String number_text(double value);      // Python's repr() of a float
Value from_json(const boost::json::value& json, bool from_user);

}  // namespace ernie::text::jinja
